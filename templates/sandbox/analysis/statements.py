"""Statements, and how names get their values."""

import ast

from calls import LAST
from scopes import Scope
from values import AGGREGATE, PERHAPS, ROWS, Value, container, either, join, put


class Statements:
    """Each `do_…` is a statement of Python's grammar."""

    def body(self, statements, scope):
        for statement in statements:
            handler = getattr(self, f"do_{type(statement).__name__}", None)
            if handler:
                handler(statement, scope)
            else:
                self.anything(statement, scope)

    def anything(self, node, scope):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child, scope)

    def branches(self, scope, *bodies):
        """Each on names of its own; afterwards a name may have any of their values."""
        before, outcomes = dict(scope.names), []
        for body in bodies:
            scope.names = dict(before)
            self.body(body, scope)
            outcomes.append(scope.names)
        merged = dict(outcomes[0])
        for names in outcomes[1:]:
            for name, value in names.items():
                merged[name] = either(merged.get(name), value)
        scope.names.clear()
        scope.names.update(merged)

    def do_If(self, node, scope):
        self.value(node.test, scope)
        self.branches(scope, node.body, node.orelse)

    def do_Try(self, node, scope):
        self.branches(scope, [*node.body, *node.orelse], [])
        self.branches(scope, [], *(handler.body for handler in node.handlers))
        self.body(node.finalbody, scope)

    do_TryStar = do_Try

    def do_Match(self, node, scope):
        subject = self.value(node.subject, scope)
        for case in node.cases:
            for pattern in ast.walk(case.pattern):
                name = getattr(pattern, "name", None) or getattr(pattern, "rest", None)
                if isinstance(name, str):
                    scope.names[name] = subject.like()
        self.branches(scope, [], *(case.body for case in node.cases))

    def do_For(self, node, scope):
        over = self.value(node.iter, scope)
        self.loop(node, scope, lambda: self.bind(node.target, self.element(over, node), scope))

    do_AsyncFor = do_For

    def do_While(self, node, scope):
        self.loop(node, scope, lambda: self.value(node.test, scope))

    def loop(self, node, scope, step):
        """Twice, so that what one turn leaves reaches the next; sums are of rows within, of all after it."""
        scope.running.append({})
        for _ in range(2):
            step()
            self.branches(scope, node.body, [])
        for name, value in scope.running.pop().items():
            scope.names[name] = value.like(level=min(value.level, AGGREGATE), one=False)
        self.body(node.orelse, scope)

    def do_With(self, node, scope):
        for item in node.items:
            value = self.value(item.context_expr, scope)
            if item.optional_vars is not None:
                self.bind(item.optional_vars, value, scope)
        self.body(node.body, scope)

    do_AsyncWith = do_With

    def do_Assign(self, node, scope):
        value = self.value(node.value, scope)
        for target in node.targets:
            if self.accumulates(target, node.value, scope):
                value = self.total(target, value, scope)
            self.bind(target, value, scope)

    def do_AnnAssign(self, node, scope):
        if node.value is not None:
            self.bind(node.target, self.value(node.value, scope), scope)

    def do_AugAssign(self, node, scope):
        before, added = self.value(node.target, scope), self.value(node.value, scope)
        if isinstance(node.target, ast.Subscript):  # sums[group] += …: one number for each group
            held = self.value(node.target.value, scope)
            key = self.value(node.target.slice, scope)
            if before.kind == "list" or held.kind in ("frame", "series"):
                put(held, added)
            else:
                put(held, Value(min(added.level, AGGREGATE), number=True, origin=added.origin), self.label(key))
            return
        if before.kind in ("list", "dict", "set") or (before.text is not None and not before.number):
            if before.kind:
                put(before, added.item or added)
                return
            self.bind(node.target, join(before, added), scope)
            return
        value = join(before, added)
        if before.number and isinstance(node.target, ast.Name):
            value = self.total(node.target, value, scope)
        self.bind(node.target, value, scope)

    def accumulates(self, target, expression, scope):
        """`total = total + x`, `best = max(best, x)`: a number that a loop works up."""
        if not isinstance(target, ast.Name) or not scope.running:
            return False
        held = scope.find(target.id)
        if held is None or not (held.number or target.id in scope.running[-1]):
            return False
        within = expression.args if isinstance(expression, ast.Call) else ()
        if isinstance(expression, ast.BinOp) and isinstance(expression.op, (ast.Add, ast.Sub, ast.Mult)):
            within = (expression.left, expression.right)
        return any(isinstance(one, ast.Name) and one.id == target.id for one in within)

    def total(self, target, value, scope):
        """A running total: of rows while the loop runs, an aggregate once it is over."""
        value = value.like(number=True)
        if scope.running and value.level >= PERHAPS:
            scope.running[-1][target.id] = value
        return value

    def do_Return(self, node, scope):
        if node.value is not None:
            scope.returned.append(self.value(node.value, scope))

    def do_Raise(self, node, scope):
        if isinstance(node.exc, ast.Call):
            for argument in node.exc.args:
                self.reveal(node, scope, self.value(argument, scope), "error")
        elif node.exc is not None:
            self.value(node.exc, scope)

    def do_Assert(self, node, scope):
        self.value(node.test, scope)
        if node.msg is not None:
            self.reveal(node, scope, self.value(node.msg, scope), "error")

    def do_Expr(self, node, scope):
        value = self.value(node.value, scope)
        if getattr(node, "shown", False):  # the last line of a notebook's cell
            self.reveal(node, scope, value, "print")

    def do_FunctionDef(self, node, scope):
        for decorator in node.decorator_list:
            self.value(decorator, scope)
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.value(default, scope)
        decorated = {getattr(one, "attr", getattr(one, "id", "")) for one in node.decorator_list}
        kind = "property" if decorated & {"property", "cached_property"} else "function"
        scope.names[node.name] = Value(kind=kind, code=(node, scope, scope.file))

    do_AsyncFunctionDef = do_FunctionDef

    def do_ClassDef(self, node, scope):
        for base in [*node.bases, *node.decorator_list]:
            self.value(base, scope)
        inner = Scope(scope, scope.file, scope.module)
        self.body(node.body, inner)
        scope.names[node.name] = Value(kind="class", fields=inner.names)

    def do_Import(self, node, scope):
        for alias in node.names:
            self.see(scope.file, node.lineno, "import", alias.name)
            local = self.module(alias.name, 0, scope.file)
            top = alias.name.partition(".")[0]
            if local is not None and alias.asname is None and "." in alias.name:
                local = Value(kind="namespace", fields={alias.name.partition(".")[2]: local})
            scope.names[alias.asname or top] = local or Value(name=alias.name if alias.asname else top)

    def do_ImportFrom(self, node, scope):
        dotted = node.module or ""
        local = self.module(dotted, node.level, scope.file)
        for alias in node.names:
            if not node.level:
                self.see(scope.file, node.lineno, "import", f"{dotted}.{alias.name}")
            if alias.name == "*":
                if local is not None:
                    scope.names.update(local.fields or {})
                elif dotted:
                    scope.module.stars.append(dotted)
                    self.see(scope.file, node.lineno, "star", dotted)
                continue
            found = (local.fields or {}).get(alias.name) if local is not None else None
            if found is None and node.level:
                found = self.module(f"{dotted}.{alias.name}".strip("."), node.level, scope.file)
            scope.names[alias.asname or alias.name] = found or Value(name=f"{dotted}.{alias.name}" if dotted else None)

    def do_Global(self, node, scope):
        for name in node.names:
            scope.elsewhere[name] = scope.module

    def do_Nonlocal(self, node, scope):
        for name in node.names:
            above = scope.above
            while above is not None and name not in above.names:
                above = above.above
            scope.elsewhere[name] = above or scope.module

    def do_Delete(self, node, scope):
        pass

    # names get values

    def bind(self, target, value, scope):
        if isinstance(target, ast.Name):
            held = scope.elsewhere.get(target.id)
            if held is not None:  # whoever reads it there may see this value, or the one before
                held.names[target.id] = either(held.names.get(target.id), value)
            scope.names[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            self.unpack(target.elts, value, scope)
        elif isinstance(target, ast.Starred):
            self.bind(target.value, container("list", [value]), scope)
        elif isinstance(target, ast.Attribute):
            held = self.value(target.value, scope)
            if held.name and held.level <= AGGREGATE and (value.code or value.bound or value.kind == "caller"):
                self.see(scope.file, target.lineno, "getattr", f"{held.name}.{target.attr}")  # pandas.Series.mean = …
            if held.fields is None:
                held.fields = {}
            if held.kind != "namespace":
                held.fields[target.attr] = value
            held.absorb(value)
            for name in LAST if held.kind == "object" and value.level >= PERHAPS else ():
                if name in held.fields and held.fields[name].code:
                    self.call_function(held.fields[name], [held], {}, target)
        elif isinstance(target, ast.Subscript):
            held, key = self.value(target.value, scope), self.value(target.slice, scope)
            if held.kind == "sink":
                self.reveal(target, scope, value, "output")
            elif held.name == "os.environ":
                self.environment.absorb(value)
            elif held.kind in ("frame", "series"):
                held.absorb(value.like(identity=False))
            else:
                put(held, value, key if key.level < PERHAPS or value.level >= PERHAPS or value.one else self.label(key))

    def unpack(self, targets, value, scope):
        starred = [at for at, one in enumerate(targets) if isinstance(one, ast.Starred)]
        if value.parts is not None and len(value.parts) == len(targets) and not starred:
            for target, part in zip(targets, value.parts):
                self.bind(target, part, scope)
            return
        item = self.element(value, targets[0] if targets else None)
        for at, target in enumerate(targets):
            if at == 0 and value.kind in ("reader", "lines") and not value.begun and starred:
                self.bind(target, Value(kind="header"), scope)  # the first line names the columns
            elif isinstance(target, ast.Starred):
                kind = "table" if value.kind in ("reader", "lines") else "list"
                self.bind(target.value, Value(value.level, kind, item=item, origin=value.origin, one=value.one), scope)
            else:
                self.bind(target, item, scope)

    def label(self, key):
        """A group's name, as a key that sums are kept under: no row, unless it names people."""
        return key if key.identity or key.level < PERHAPS else key.like(level=AGGREGATE, one=False)

    def element(self, value, node):
        """What a loop over this sees."""
        if value.kind == "groups":
            single = ROWS if value.identity else AGGREGATE
            label = Value(single, origin=value.origin, identity=value.identity)
            group = Value(ROWS, "frame", origin=value.origin, one=value.identity)
            return Value(ROWS, "tuple", parts=(label, group), origin=value.origin)
        if value.kind in ("frame", "record") and value.level >= PERHAPS:
            if value.made == "array":
                return Value(value.level, "row", origin=value.origin, one=True)
            return Value(kind="name")  # a frame's columns, a record's fields
        if value.kind == "dict":
            return value.key or Value()
        if value.kind == "rolls":
            return Value(value.level, "frame", origin=value.origin)
        if value.kind == "columns":
            return value.like(kind="series", item=None, parts=None)
        if value.item is not None:
            return value.item
        if value.parts:
            found = value.parts[0]
            for part in value.parts[1:]:
                found = either(found, part)
            return found
        if value.level >= PERHAPS:
            kind = {"records": "record", "table": "row", "reader": "row", "lines": "line"}.get(value.kind, "cell")
            return Value(value.level, kind, origin=value.origin, one=True, identity=value.identity)
        if value.kind == "path":
            return value
        return Value(value.level, origin=value.origin, extreme=value.extreme, hidden=value.hidden, one=value.one)
