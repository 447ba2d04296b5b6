"""Follow a Python program without running it: from where data are read to where something is shown or written.

It believes every branch, runs every loop twice and enters every function of the job. What it cannot follow it calls
`perhaps`, and what is too much for it, it says.
"""

import ast
import os
import re

from values import AGGREGATE, CLEAN, NAMES, PERHAPS, ROWS, TEXT, Value, container, either, join, path, place_of, put
import words

STEPS = 150_000  # expressions that are looked at before giving up
DEPTH = 12  # calls within calls
FILE = 4 << 20


class TooMuch(Exception):
    """The program is too large to follow."""


class Scope:
    """Names and their values; `above` is where a name is looked for next."""

    def __init__(self, above=None, file="", module=None):
        self.names, self.above, self.stars = {}, above, []
        self.file, self.module = file, module or self
        self.running = []  # for each loop that we are in: what was summed up in it
        self.returned = []

    def find(self, name):
        scope = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.above
        return None


class Follower:
    """One program: its own file, and what it takes from its neighbours."""

    def __init__(self, top, told, see):
        self.top, self.told, self.see = top, told, see
        self.identifiers = {name.casefold() for name in told.get("identifiers", ())}
        self.steps, self.depth = 0, 0
        self.modules, self.seen_functions, self.calls = {}, set(), []

    # a file

    def run(self, tree, file, entry=None):
        """Follow a module; `entry` is (function, its parameters that are data)."""
        scope = Scope(file=file)
        self.body(tree.body, scope)
        if entry:
            self.enter(scope, *entry)
        for node in ast.walk(tree):  # what nobody calls may still be called, in a way that is not seen
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and node not in self.seen_functions:
                self.call_function(Value(kind="function", code=(node, scope, file)), [], {}, node)
        return scope

    def enter(self, scope, function, inputs):
        found = scope.find(function)
        if found is None or not found.code:
            return
        node = found.code[0]
        given = {name: Value(ROWS, "input", place="data", origin=node.lineno) for name in inputs}
        value = self.call_function(found, [], given, node)
        self.reveal(node, scope, value, "result")

    def module(self, dotted, level, file):
        """A neighbour's names, where the job holds that module; None elsewhere."""
        base = os.path.dirname(file) if level else ""
        for _ in range(max(0, level - 1)):
            base = os.path.dirname(base)
        stem = os.path.join(base, *dotted.split(".")) if dotted else base
        for name in (f"{stem}.py", os.path.join(stem, "__init__.py")):
            if name in self.modules:
                return self.modules[name]
            if name != file and name in self.told.get("files", ()):
                return self.load(name)
        return None

    def load(self, name):
        self.modules[name] = found = Value(kind="namespace", fields={})
        with open(os.path.join(self.top, name), "rb") as source:
            tree = ast.parse(source.read(FILE))
        scope = Scope(file=name)
        self.body(tree.body, scope)
        found.fields = scope.names
        return found

    # statements

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
        scope.names[node.name] = Value(kind="function", code=(node, scope, scope.file))

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
            scope.names.setdefault(name, scope.module.names.setdefault(name, Value()))

    do_Nonlocal = do_Global

    def do_Delete(self, node, scope):
        pass

    # names get values

    def bind(self, target, value, scope):
        if isinstance(target, ast.Name):
            scope.names[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            self.unpack(target.elts, value, scope)
        elif isinstance(target, ast.Starred):
            self.bind(target.value, container("list", [value]), scope)
        elif isinstance(target, ast.Attribute):
            held = self.value(target.value, scope)
            if held.fields is None:
                held.fields = {}
            if held.kind != "namespace":
                held.fields[target.attr] = value
            held.absorb(value)
        elif isinstance(target, ast.Subscript):
            held, key = self.value(target.value, scope), self.value(target.slice, scope)
            if held.kind in ("frame", "series"):
                held.absorb(value)
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

    # expressions

    def value(self, node, scope):
        self.steps += 1
        if self.steps > STEPS:
            raise TooMuch
        handler = getattr(self, f"of_{type(node).__name__}", None)
        if handler:
            return handler(node, scope)
        parts = [self.value(child, scope) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        return join(*parts)

    def of_Constant(self, node, scope):
        if isinstance(node.value, (str, bytes)):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            return Value(kind="text", text=text[:TEXT])
        return Value(number=isinstance(node.value, (int, float)) and not isinstance(node.value, bool))

    def of_Name(self, node, scope):
        found = scope.find(node.id)
        if found is None:
            return self.unbound(node, scope)
        if found.name and isinstance(node.ctx, ast.Load):
            self.use(node, scope, found)
        return found

    def unbound(self, node, scope):
        """A built-in, or what a star import brought."""
        for module in scope.module.stars:
            self.see(scope.file, node.lineno, "use", f"{module}.{node.id}")
        found = Value(name=f"builtins.{node.id}")
        if isinstance(node.ctx, ast.Load):
            self.use(node, scope, found)
        stars = scope.module.stars
        return found.like(name=f"{stars[-1]}.{node.id}") if stars and not hasattr(__builtins__, node.id) else found

    def use(self, node, scope, found):
        self.see(scope.file, getattr(node, "lineno", 0), "use", found.name, "hidden" if found.hidden else "")

    def of_Attribute(self, node, scope):
        base = self.value(node.value, scope)
        if node.attr in words.SUSPICIOUS:
            self.see(scope.file, node.lineno, "inside", node.attr)
        return self.attribute(base, node.attr, node, scope)

    def attribute(self, base, name, node, scope):
        if base.fields is not None and name in base.fields:
            return base.fields[name]
        if base.name is not None and base.level == CLEAN:
            if name == "__dict__":
                return base.like(kind="names")
            found = base.like(name=f"{base.name}.{name}", kind="")
            self.use(node, scope, found)
            return found
        if base.kind == "class" or (base.kind == "namespace" and base.fields):
            return Value()
        if base.made and base.level == CLEAN and base.kind not in ("path", "sink", "model"):
            found = base.like(name=None)
            self.see(scope.file, node.lineno, "use", f"{base.made}().{name}")
            return found
        return self.plain_attribute(base, name)

    def plain_attribute(self, base, name):
        if base.kind in ("path", "input") and name in ("name", "stem", "suffix", "parts", "anchor", "suffixes"):
            return Value(kind="text", text=os.path.basename(base.text) if base.text and name == "name" else None)
        if base.kind == "path" and name in ("parent", "parents"):
            return path(base.place)
        if base.level >= PERHAPS:
            if base.kind == "model":
                return base.like() if name in words.ROW_RESULTS else Value(AGGREGATE, origin=base.origin)
            if name in ("shape", "size", "ndim", "nbytes", "empty"):
                return Value(CLEAN if not base.one else base.level, origin=base.origin)
            if name in words.BARE and base.kind not in ("record", "row", "cell"):
                return Value(kind="name")
            if name == "T":
                return base.like(kind="columns", item=None)
            kind = base.kind if name in ("loc", "iloc", "at", "iat", "values", "str", "dt", "cat") else "series"
            identity = base.identity or name.casefold() in self.identifiers
            return base.like(kind=kind if base.kind in ("frame", "groups") else base.kind, identity=identity, item=None,
                             fields=None, parts=None)  # fmt: skip
        return base.like(kind="model" if base.kind == "model" else "", name=None, text=None, parts=None, item=None,
                         code=None)  # fmt: skip

    def of_Subscript(self, node, scope):
        held, key = self.value(node.value, scope), self.value(node.slice, scope)
        sliced = isinstance(node.slice, ast.Slice)
        first = isinstance(node.slice, ast.Constant) and node.slice.value == 0
        if held.name is not None and held.level == CLEAN:
            return self.looked_up(held, key, node, scope)
        if held.fields is not None and key.text is not None and key.text in held.fields:
            return held.fields[key.text]
        if held.kind == "path" and held.place:
            return held.like(text=None)
        if held.parts is not None and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int):
            if -len(held.parts) <= node.slice.value < len(held.parts):
                return held.parts[node.slice.value]
        if held.level >= PERHAPS:
            return self.taken(held, key, sliced, first, node)
        if held.kind == "dict":
            if held.item is None:
                held.item = Value(kind="list" if held.made == "lists" else "")
            return held.item
        if sliced:
            reversed_ = node.slice.step is not None
            text = held.text if held.text is not None and not (node.slice.lower or node.slice.upper) else None
            if text is not None and reversed_:
                return Value(kind="text", text=text[::-1], hidden=True)
            return held.like(text=None, hidden=held.hidden or reversed_)
        return held.item or join(held, key)

    def taken(self, held, key, sliced, first, node):
        """A part of something that holds rows."""
        identity = held.identity or (key.text or "").casefold() in self.identifiers
        if held.kind in ("reader", "lines") and not held.begun:
            if first:
                return Value(kind="header")
            if sliced:
                return held.like(kind="table" if held.kind == "reader" else "lines", begun=True)
        if held.kind in ("frame", "groups"):
            whole = key.kind == "list" or key.level >= PERHAPS or sliced
            kind = held.kind if whole or held.kind == "groups" else "series"
            return held.like(kind=kind, identity=identity if held.kind == "frame" else held.identity, item=None)
        if held.kind in ("record", "row", "line", "cell"):
            return held.like(kind="cell", identity=identity, item=None, parts=None)
        if held.kind == "series":
            return held.like(one=held.one or not (sliced or key.level >= PERHAPS), item=None)
        if held.kind == "dict":
            return held.item if held.item is not None else Value(held.level, "cell", origin=held.origin, one=True)
        if sliced:
            return held.like(parts=None)
        return self.element(held, node)

    def looked_up(self, held, key, node, scope):
        """`os.environ["X"]`, `sys.modules["os"]`, `vars(os)["system"]`."""
        if held.name == "os.environ":
            return self.setting(key.text)
        if held.name == "sys.modules" and key.text:
            self.see(scope.file, node.lineno, "inside", "sys.modules")
            return Value(name=key.text, hidden=True)
        if held.kind == "names" and key.text:
            found = held.like(name=f"{held.name}.{key.text}", kind="", hidden=True)
            self.use(node, scope, found)
            return found
        if held.name in ("builtins.__builtins__",) and key.text:
            found = Value(name=f"builtins.{key.text}", hidden=True)
            self.use(node, scope, found)
            return found
        return held.like(name=f"{held.name}[]")

    def setting(self, name):
        place = {"GITQUEUE_DATA": "data", "GITQUEUE_OUTPUT": "output", "TMPDIR": "tmp", "HOME": "tmp"}.get(name or "")
        return path(place, "") if place else Value(kind="text")

    def of_BinOp(self, node, scope):
        left, right = self.value(node.left, scope), self.value(node.right, scope)
        if left.place and isinstance(node.op, (ast.Div, ast.Add)):
            return self.beneath(left, right)
        if left.text is not None and right.text is not None and isinstance(node.op, ast.Add):
            put_together = Value(kind="text", text=(left.text + right.text)[:TEXT], hidden=True)
            return put_together
        if isinstance(node.op, ast.Mod) and left.text is not None:
            found = join(left, right)
            return found.like(kind="text", text=None)
        found = join(left, right)
        if found.level >= PERHAPS:
            strong = left if left.level >= right.level else right
            kind = strong.kind if strong.kind in ("frame", "series", "list", "columns") else ""
            return found.like(kind=kind, one=(left.one and left.level >= PERHAPS) or (right.one and right.level >= PERHAPS))
        if left.kind in ("list", "tuple") or right.kind in ("list", "tuple"):
            return container("list", [value.item or value for value in (left, right)])
        return found.like(number=left.number and right.number)

    def beneath(self, folder, name):
        if name.text is not None and name.text.startswith("/") and folder.kind == "path" and name.place is None:
            text = (folder.text or "") + name.text  # string concatenation: GITQUEUE_DATA + "/x.csv"
        else:
            text = None if name.text is None or folder.text is None else f"{folder.text}/{name.text}"
        found = path(folder.place, text.lstrip("/")[:TEXT] if text is not None else None)
        if name.level >= PERHAPS:
            found.key = name
        if folder.place == "data" and text and ".." in text.split("/"):
            return path(place_of(f"/data/{text}"), text)
        return found

    def of_JoinedStr(self, node, scope):
        values = [self.value(one, scope) for one in node.values]
        if values and values[0].place:
            texts = [one.text for one in values[1:]]
            text = "".join(texts) if None not in texts and values[0].text is not None else None
            found = path(values[0].place, None if text is None else (values[0].text + text).lstrip("/"))
            made_of = join(*values[1:])
            found.key = made_of if made_of.level >= PERHAPS else None
            return found
        texts = [one.text for one in values]
        found = join(*values)
        return found.like(kind="text", text=None if None in texts else "".join(texts)[:TEXT],
                          hidden=found.hidden)  # fmt: skip

    def of_FormattedValue(self, node, scope):
        if node.format_spec is not None:
            self.value(node.format_spec, scope)
        return self.value(node.value, scope)

    def of_BoolOp(self, node, scope):
        found = None
        for one in node.values:
            found = either(found, self.value(one, scope))
        return found

    def of_IfExp(self, node, scope):
        self.value(node.test, scope)
        return either(self.value(node.body, scope), self.value(node.orelse, scope))

    def of_Compare(self, node, scope):
        values = [self.value(one, scope) for one in (node.left, *node.comparators)]
        found = join(*values)
        if isinstance(node.ops[0], (ast.In, ast.NotIn, ast.Is, ast.IsNot)) and values[0].level < PERHAPS:
            return Value(min(found.level, AGGREGATE), origin=found.origin)
        return found.like(kind="series" if found.level >= PERHAPS and not found.one else "")

    def of_Tuple(self, node, scope):
        return self.display("tuple", node, scope)

    def of_List(self, node, scope):
        return self.display("list", node, scope)

    def of_Set(self, node, scope):
        return self.display("set", node, scope)

    def display(self, kind, node, scope):
        values = [self.value(one.value if isinstance(one, ast.Starred) else one, scope) for one in node.elts]
        values = [self.element(value, node) if isinstance(one, ast.Starred) else value
                  for one, value in zip(node.elts, values)]  # fmt: skip
        found = container(kind, values)
        if not any(isinstance(one, ast.Starred) for one in node.elts):
            found.parts = tuple(values)
        found.one = any(value.one and value.level >= PERHAPS for value in values)
        return found

    def of_Dict(self, node, scope):
        found = Value(kind="dict", fields={})
        for key, one in zip(node.keys, node.values):
            value = self.value(one, scope)
            if key is None:  # {**other}
                found.absorb(value)
                put(found, value.item or value, value.key)
                found.one = found.one or value.one
                if value.kind == "record":
                    found.kind = "record"
                continue
            name = self.value(key, scope)
            put(found, value, name)
            found.one = found.one or (value.one and value.level >= PERHAPS)
            if name.text is not None:
                found.fields[name.text] = value
        return found

    def of_ListComp(self, node, scope):
        return self.comprehension("list", node, scope)

    def of_SetComp(self, node, scope):
        return self.comprehension("set", node, scope)

    def of_GeneratorExp(self, node, scope):
        return self.comprehension("list", node, scope)

    def comprehension(self, kind, node, scope):
        inner, one = self.generators(node, scope)
        item = self.value(node.elt, inner)
        found = container(kind, [item])
        found.one = one and found.level >= PERHAPS
        return found

    def of_DictComp(self, node, scope):
        inner, one = self.generators(node, scope)
        key, item = self.value(node.key, inner), self.value(node.value, inner)
        found = container("dict", [item], key)
        found.one = one and found.level >= PERHAPS
        return found

    def generators(self, node, scope):
        """The names within, and whether it all is about a single row."""
        inner, one = Scope(scope, scope.file, scope.module), False
        for at, generator in enumerate(node.generators):
            over = self.value(generator.iter, inner)
            if at == 0:
                one = over.one
            self.bind(generator.target, self.element(over, node), inner)
            for test in generator.ifs:
                self.value(test, inner)
        return inner, one

    def of_Lambda(self, node, scope):
        return Value(kind="function", code=(node, scope, scope.file))

    def of_NamedExpr(self, node, scope):
        found = self.value(node.value, scope)
        self.bind(node.target, found, scope)
        return found

    def of_Starred(self, node, scope):
        return self.value(node.value, scope)

    def of_Await(self, node, scope):
        return self.value(node.value, scope)

    def of_Yield(self, node, scope):
        if node.value is not None:
            scope.returned.append(container("list", [self.value(node.value, scope)]))
        return Value()

    def of_YieldFrom(self, node, scope):
        scope.returned.append(self.value(node.value, scope))
        return Value()

    # calls

    def of_Call(self, node, scope):
        if isinstance(node.func, ast.Attribute):
            base = self.value(node.func.value, scope)
            if node.func.attr in words.SUSPICIOUS:
                self.see(scope.file, node.lineno, "inside", node.func.attr)
            function = None
            if (base.name and base.level == CLEAN) or (base.fields is not None and node.func.attr in base.fields):
                function = self.attribute(base, node.func.attr, node, scope)
        else:
            base, function = None, self.value(node.func, scope)
        arguments = [self.value(one.value if isinstance(one, ast.Starred) else one, scope) for one in node.args]
        keywords = {one.arg or "**": self.value(one.value, scope) for one in node.keywords}
        call = Call(node, scope, arguments, keywords)
        if function is None:
            if base.made and base.level == CLEAN and base.kind not in ("path", "sink", "model", "list", "dict"):
                self.called(call, f"{base.made}().{node.func.attr}")
            return self.method(base, node.func.attr, call)
        if function.code or function.kind == "class":
            return self.own(function, base, call)
        if function.name:
            return self.outside(function, call)
        return self.unknown(function, call)

    def called(self, call, name, hidden=False):
        first = call.arguments[0] if call.arguments else None
        text = first.text if first is not None and first.text else ""
        if first is not None and first.parts and all(one.text for one in first.parts):
            text = " ".join(one.text for one in first.parts)
        keywords = [*call.keywords, *(["shell=True"] if self.is_true(call.node, "shell") else [])]
        keywords += ["allow_pickle=True"] if self.is_true(call.node, "allow_pickle") else []
        if hidden or any(one.hidden for one in call.arguments):
            keywords.append("hidden")
        if call.arguments and first.text is None and first.kind != "path":
            keywords.append("computed")
        self.see(call.scope.file, call.node.lineno, "call", name, text, keywords)

    @staticmethod
    def is_true(node, name):
        return any(one.arg == name and isinstance(one.value, ast.Constant) and one.value.value is True
                   for one in node.keywords)  # fmt: skip

    def own(self, function, base, call):
        """A function or class of the job's."""
        if function.kind == "class":
            made = Value(kind="object", fields=dict(function.fields))
            start = function.fields.get("__init__")
            if start is not None and start.code:
                self.call_function(start, [made, *call.arguments], call.keywords, call.node)
            for argument in [*call.arguments, *call.keywords.values()]:
                made.absorb(argument)
            return made
        bound = base is not None and base.kind == "object"
        given = [base, *call.arguments] if bound else call.arguments
        return self.call_function(function, given, call.keywords, call.node)

    def call_function(self, function, arguments, keywords, node):
        code, above, file = function.code
        self.seen_functions.add(code)
        if self.depth >= DEPTH or code in self.calls:
            found = join(*arguments, *keywords.values())
            return found.like(level=min(found.level, PERHAPS) if found.level >= PERHAPS else found.level)
        scope = Scope(above, file, above.module)
        self.bind_arguments(code.args, arguments, keywords, scope)
        self.depth += 1
        self.calls.append(code)
        try:
            if isinstance(code, ast.Lambda):
                return self.value(code.body, scope)
            self.body(code.body, scope)
        finally:
            self.depth -= 1
            self.calls.pop()
        found = None
        for value in scope.returned:
            found = either(found, value)
        return found or Value()

    def bind_arguments(self, wanted, arguments, keywords, scope):
        names = [one.arg for one in (*wanted.posonlyargs, *wanted.args)]
        for name, default in zip(reversed(names), reversed(wanted.defaults)):
            scope.names[name] = self.value(default, scope.above or scope)
        for one, default in zip(wanted.kwonlyargs, wanted.kw_defaults):
            if default is not None:
                scope.names[one.arg] = self.value(default, scope.above or scope)
        for name, value in zip(names, arguments):
            scope.names[name] = value
        if wanted.vararg:
            scope.names[wanted.vararg.arg] = container("list", arguments[len(names):])
        for name, value in keywords.items():
            scope.names[name] = value
        if wanted.kwarg:
            rest = {name: value for name, value in keywords.items() if name not in names}
            scope.names[wanted.kwarg.arg] = Value(join(*rest.values()).level, "dict", fields=rest)
        for name in (*names, *(one.arg for one in wanted.kwonlyargs)):
            scope.names.setdefault(name, Value())

    def unknown(self, function, call):
        found = join(function, *call.arguments, *call.keywords.values())
        if found.level >= PERHAPS:
            return Value(PERHAPS, origin=found.origin, one=found.one, hidden=found.hidden)
        return found.like(kind="", number=False)

    # calls of things from outside

    def outside(self, function, call):
        """By name: where data come from, what makes aggregates of them, where they are shown."""
        name = function.name
        self.called(call, name, function.hidden)
        short = name.rpartition(".")[2]
        for handle in (self.reflective, self.printing, self.writing, self.pathlike, self.reading, self.charting,
                       self.aggregating, self.structural, self.modelling):  # fmt: skip
            found = handle(name, short, call)
            if found is not None:
                return found
        return self.foreign(name, call)

    def foreign(self, name, call):
        """Nothing is known of it."""
        found = join(*call.arguments, *call.keywords.values())
        hidden = bool(words.DECODERS.fullmatch(name)) or found.hidden
        if found.level >= PERHAPS:
            if words.KEEPERS.fullmatch(name):
                first = next(one for one in (*call.arguments, *call.keywords.values()) if one.level == found.level)
                return first.like(item=first.item, hidden=hidden, one=found.one, made=name)
            return Value(PERHAPS, made=name, origin=found.origin, one=found.one, hidden=hidden)
        return Value(found.level, made=name, hidden=hidden, origin=found.origin, extreme=found.extreme)

    def reflective(self, name, short, call):
        """What reaches a thing by its name as a text."""
        texts = [one.text for one in call.arguments]
        if name == "builtins.getattr" and len(call.arguments) > 1:
            base, wanted = call.arguments[0], call.arguments[1]
            if wanted.text is None:
                if base.name or base.made:
                    self.see(call.scope.file, call.node.lineno, "getattr", base.name or base.made or "")
                return join(base).like(name=f"{base.name}.?" if base.name else None, hidden=True)
            if base.name and base.level == CLEAN:
                found = base.like(name=f"{base.name}.{wanted.text}", hidden=True, kind="")
                self.use(call.node, call.scope, found)
                return found
            return self.attribute(base, wanted.text, call.node, call.scope)
        if name in ("builtins.__import__", "importlib.import_module", "importlib.__import__"):
            if texts and texts[0]:
                self.see(call.scope.file, call.node.lineno, "import", texts[0], "hidden")
                return Value(name=texts[0], hidden=True)
            return Value(hidden=True)
        if name in ("builtins.vars", "builtins.globals", "builtins.locals"):
            base = call.arguments[0] if call.arguments else Value(name="builtins")
            return base.like(kind="names") if base.name else Value(hidden=True)
        return None

    def printing(self, name, short, call):
        where = words.PRINTS.get(name)
        if where is None and name.startswith(("logging.", "loguru.", "structlog.")) and short in words.LOGS:
            where = "print"
        if where is None:
            return None
        if name == "builtins.print" and call.keywords.get("file") is not None:
            target = call.keywords["file"]
            where = "output" if target.kind == "sink" else where
        for value in call.arguments:
            self.reveal(call.node, call.scope, value, where)
        return Value()

    def writing(self, name, short, call):
        if name in words.WRITERS:
            at, to = words.WRITERS[name]
            values = call.arguments[at:at + 1] or [one for key, one in call.keywords.items() if key in ("obj", "arr")]
            if name.startswith("numpy.savez"):
                values = [*call.arguments[1:], *call.keywords.values()]
            self.write(call, call.arguments[to] if len(call.arguments) > to else call.keywords.get("file"))
            for value in values:
                self.reveal(call.node, call.scope, value, "output")
            return Value()
        if name in words.COPIES and len(call.arguments) > 1:
            source, target = call.arguments[:2]
            for one in (source, target):
                self.looks(one, call, "read")
            if source.place == "data" or source.level >= PERHAPS:
                self.reveal(call.node, call.scope, Value(ROWS, origin=call.node.lineno), "output")
            self.write(call, target)
            return Value()
        return None

    def write(self, call, target):
        """A file is written: where, and under what name."""
        if target is None or target.kind not in ("path", "text", "sink", "input") or target.kind == "sink":
            return
        place = target.place or (place_of(target.text) if target.text else None)
        if target.key is not None:  # the file's own name is made of data
            self.reveal(call.node, call.scope, target.key, "name")
        if place == "output":
            text = target.text if target.place else os.path.relpath(target.text, "/output")
            self.see(call.scope.file, call.node.lineno, "write", text or "", "output")
        elif place in ("outside", "system", "job", "data"):
            self.see(call.scope.file, call.node.lineno, "write", target.text or "", place)

    def looks(self, target, call, how):
        """A path of the machine's that is named outright."""
        if target.text is None or target.kind not in ("text", "path"):
            return
        place = target.place or place_of(target.text)
        if place in ("outside", "system", "network"):
            self.see(call.scope.file, call.node.lineno, "file", target.text[:200], f"{place} {how}")

    def pathlike(self, name, short, call):
        if words.OPENS.fullmatch(name):
            return self.opened(call.arguments[0] if call.arguments else Value(), self.mode(call, 1), call)
        if words.FILES.fullmatch(name) and call.arguments:
            self.looks(call.arguments[0], call, "read")
            first = call.arguments[0]
            if short in ("glob", "iglob", "listdir", "walk", "scandir") and first.place:
                return Value(kind="path", place=first.place)
            return Value()
        if words.PATHS.fullmatch(name):
            return self.a_path(name, short, call)
        if name in ("os.getenv", "os.environ.get"):
            return self.setting(call.arguments[0].text if call.arguments else None)
        if name in ("os.environ.setdefault", "os.environ.update", "os.getcwd", "pathlib.Path.cwd"):
            return Value()
        if name in ("pathlib.Path.home", "os.path.expanduser"):
            return path("tmp")
        if name == "tempfile.gettempdir" or name.startswith("tempfile."):
            return path("tmp")
        if name in ("os.path.basename", "os.path.splitext", "os.path.getsize"):
            return Value(kind="text")
        return None

    def a_path(self, name, short, call):
        arguments = call.arguments
        if not arguments:
            return path("job")
        first = arguments[0]
        if short == "str" and not first.place:
            return first.like(name=None) if first.level else Value(kind="text", text=first.text, hidden=first.hidden)
        if short == "dirname":
            return path(first.place or "job")
        if first.kind == "input":
            return first
        found = first if first.place else path(place_of(first.text) if first.text else None, first.text)
        if short == "expanduser" and first.text and first.text.startswith("~"):
            return path("outside", first.text)
        for other in arguments[1:]:
            found = self.beneath(found, other)
        if not first.place and found.place in ("data", "output", "tmp"):
            top = "/" + found.place
            text = (found.text or "").removeprefix(top).lstrip("/")
            found = path(found.place, text)
        elif not first.place and found.text:
            found = path(place_of(found.text if first.text and first.text.startswith("/") is False else "/" + found.text.lstrip("/"))
                         if first.text else None, found.text)
        return found

    @staticmethod
    def mode(call, at):
        given = call.keywords.get("mode") or (call.arguments[at] if len(call.arguments) > at else None)
        return (given.text or "?") if given is not None else "r"

    def opened(self, target, mode, call):
        if isinstance(target, Value) and target.text is not None and target.kind == "text" and not target.place:
            target = target.like(place=place_of(target.text), kind="path")
        if any(letter in mode for letter in "wax+"):
            self.looks(target, call, "write")
            self.write(call, target)
            return Value(kind="sink", place=target.place)
        self.looks(target, call, "read")
        return self.contents(target, call, "lines")

    def contents(self, target, call, kind):
        """What reading a path gives."""
        line = call.node.lineno
        if target.level >= PERHAPS or target.place == "data":
            return Value(max(target.level, ROWS), kind, origin=target.origin or line, place=None)
        if target.place == "tmp" and self.told.get("datasets"):
            return Value(PERHAPS, kind, origin=line)
        if target.place in ("job", "system", "output", "outside", "network"):
            return Value(kind=kind)
        return Value(ROWS if self.told.get("datasets") else CLEAN, kind, origin=line)

    def reading(self, name, short, call):
        first = call.arguments[0] if call.arguments else next(iter(call.keywords.values()), Value())
        if words.LINES.fullmatch(name):
            return first.like(kind="reader", item=None) if first.level >= PERHAPS else Value(made=name)
        if words.RECORDS.fullmatch(name):
            return first.like(kind="records", item=None) if first.level >= PERHAPS else Value(made=name)
        if words.READERS.fullmatch(name) is None:
            if name.startswith("duckdb.") and short in ("sql", "query", "execute", "read_csv", "read_parquet"):
                return self.queried(first, call)
            return None
        kind = "frame" if re.match(r"(pandas|polars|dask|modin|geopandas|cudf|vaex)\.", name) else "table"
        kind = "database" if name == "sqlite3.connect" else kind
        if first.kind == "text" and first.text is not None and not name.startswith(("json.loads", "pickle.loads", "yaml")):
            self.looks(first, call, "read")
            first = path(place_of(first.text), first.text)
        elif first.kind == "path":
            self.looks(first, call, "read")
        if name in ("json.loads", "pickle.loads", "yaml.load", "yaml.safe_load", "json.load", "pickle.load"):
            if first.level >= PERHAPS:
                return Value(ROWS, "table", origin=first.origin)
            return Value(hidden=first.hidden) if first.place is None else self.contents(first, call, kind)
        if first.level >= PERHAPS:
            return Value(ROWS, kind, origin=first.origin or call.node.lineno)
        found = self.contents(first, call, kind)
        return found.like(made=name)

    AGGREGATING_SQL = re.compile(r"\b(avg|count|sum|stddev\w*|var_\w+|median|corr|group\s+by)\b", re.IGNORECASE)

    def queried(self, query, call):
        """SQL is not parsed: a query that aggregates anything counts as an aggregate, any other as rows."""
        if not self.told.get("datasets"):
            return Value()
        text = query.text or ""
        level = AGGREGATE if self.AGGREGATING_SQL.search(text) else ROWS if text else PERHAPS
        return Value(level, "frame", origin=call.node.lineno)

    def charting(self, name, short, call):
        if not name.startswith(words.PLOTTING):
            return None
        self.draw(short, call)
        if short == "savefig" and call.arguments:
            self.write(call, call.arguments[0])
        if short == "subplots":
            axes = Value(kind="plot", made=name)
            return Value(kind="tuple", parts=(axes, axes), made=name)
        return Value(kind="plot", made=name)

    def draw(self, short, call):
        given = join(*call.arguments, *call.keywords.values())
        if given.level >= PERHAPS and short in words.POINTS:
            self.reveal(call.node, call.scope, given.like(level=PERHAPS), "chart")

    def aggregating(self, name, short, call):
        known = name in words.FUNCTIONS or name.startswith(words.FAMILIES)
        known = known or (name.startswith(("numpy.", "polars.", "pandas.")) and short in words.AGGREGATES)
        if not known or name in words.ROW_METRICS:
            return None
        given = join(*call.arguments, *call.keywords.values())
        if given.level < PERHAPS:
            return given.like(number=True, kind="")
        if name == "builtins.len":
            return Value(AGGREGATE, origin=given.origin, number=True)
        return self.summed(given, call, short)

    def summed(self, given, call, short):
        """An aggregate, unless it is one of a single row, or one for each row."""
        first = call.arguments[0] if call.arguments else given
        literal = first.parts is not None and first.level >= PERHAPS and short not in ("len", "crosstab", "concat")
        several = len(call.arguments) > 1 and short in ("min", "max")
        if self.by_row(call) or literal or several or (first.one and first.level >= PERHAPS) or first.kind == "cell":
            return Value(ROWS if given.level == ROWS else PERHAPS, "series", origin=given.origin, one=given.one)
        return Value(AGGREGATE, origin=given.origin, extreme=short in words.EXTREMES, number=True)

    @staticmethod
    def by_row(call):
        """Whether an aggregate goes along the columns: one number for each row."""
        for one in call.node.keywords:
            if one.arg == "axis":
                axis = one.value
                if isinstance(axis, ast.Constant) and axis.value in (0, "index", "rows", None):
                    return False
                return True
        return False

    def structural(self, name, short, call):
        """Python's own ways to walk through things."""
        arguments = call.arguments
        if name == "builtins.zip":
            if len(call.node.args) == 1 and isinstance(call.node.args[0], ast.Starred):
                return arguments[0].like(kind="columns", item=None, parts=None)
            parts = tuple(self.element(one, call.node) for one in arguments)
            item = Value(join(*parts).level, "tuple", parts=parts, origin=join(*parts).origin)
            return Value(item.level, "list", item=item, origin=item.origin)
        if name == "builtins.enumerate" and arguments:
            item = self.element(arguments[0], call.node)
            pair = Value(item.level, "tuple", parts=(Value(), item), origin=item.origin)
            return Value(item.level, "list", item=pair, origin=item.origin)
        if name == "builtins.next" and arguments:
            first = arguments[0]
            if first.kind in ("reader", "lines") and not first.begun:
                first.begun = True
                return Value(kind="header")
            return self.element(first, call.node)
        if name in ("builtins.list", "builtins.tuple", "builtins.sorted", "builtins.set", "builtins.frozenset") and arguments:
            first = arguments[0]
            if first.kind in ("frame", "record", "dict") and first.level:
                return container("list", [self.element(first, call.node)])
            if first.kind in ("reader", "lines", "records", "columns") or first.level < PERHAPS:
                return first.like(name=None) if first.kind else first.like(kind="list", name=None)
            return first.like(kind="list" if first.kind in ("list", "") else first.kind)
        if name in ("builtins.map", "builtins.filter") and len(arguments) > 1:
            function, over = arguments[0], arguments[1]
            item = self.element(over, call.node)
            if name == "builtins.map" and function.code:
                item = self.call_function(function, [item], {}, call.node)
            elif name == "builtins.map" and function.name:
                item = self.outside(function, Call(call.node, call.scope, [item], {}))
            return container("list", [item]).like(one=over.one)
        if name == "builtins.dict":
            if arguments and arguments[0].kind == "list" and arguments[0].item is not None and arguments[0].item.parts:
                parts = arguments[0].item.parts
                return container("dict", [parts[-1]], parts[0])
            found = Value(kind="dict", fields=dict(call.keywords))
            for value in (*arguments, *call.keywords.values()):
                put(found, value.item or value, value.key)
            return found
        if name == "collections.defaultdict":
            lists = bool(arguments) and arguments[0].name in ("builtins.list", "builtins.set")
            return Value(kind="dict", made="lists" if lists else "numbers")
        if name in ("builtins.list", "builtins.set", "builtins.tuple"):
            return Value(kind="list")
        if name == "collections.Counter" and not arguments:
            return Value(kind="dict", made="numbers")
        return None

    def modelling(self, name, short, call):
        if not words.MODELS.fullmatch(name) or words.NO_MODELS.match(name) or short[:1].islower() and "sklearn" in name \
                and not short.startswith("make_"):  # fmt: skip
            return None
        given = join(*call.arguments, *call.keywords.values())
        return Value(min(given.level, AGGREGATE), "model", made=name, origin=given.origin)

    # methods

    def method(self, base, name, call):
        """A method of a value, by what the value is."""
        for handle in (self.path_method, self.sink_method, self.model_method, self.container_method, self.text_method):
            found = handle(base, name, call)
            if found is not None:
                return found
        if base.level >= PERHAPS:
            return self.row_method(base, name, call)
        if base.kind == "groups":
            return base.like()
        if base.kind == "plot" or (base.made or "").startswith(words.PLOTTING):
            self.draw(name, call)
            if name == "savefig" and call.arguments:
                self.write(call, call.arguments[0])
            return Value(kind="plot", made=base.made)
        if name in words.LOGS and (base.made or "").startswith(("logging", "structlog", "loguru")):
            for value in call.arguments:
                self.reveal(call.node, call.scope, value, "print")
            return Value()
        if base.kind == "database" or name in ("sql", "execute", "query") and (base.made or "").startswith("duckdb"):
            return self.queried(call.arguments[0], call) if call.arguments else base
        return self.other_method(base, name, call)

    def other_method(self, base, name, call):
        given = join(*call.arguments, *call.keywords.values())
        hidden = base.hidden or given.hidden or name in words.DECODING
        if name.startswith(("to_", "write", "save", "dump", "export")) and (call.arguments or call.keywords):
            target = call.arguments[0] if call.arguments else Value()
            self.write(call, target)
            self.reveal(call.node, call.scope, join(base, *call.arguments[:2]), "output")
        if name in ("write", "writelines", "writerow", "writerows"):
            return Value()
        if given.level >= PERHAPS:
            base.absorb(given.like(level=AGGREGATE) if base.kind == "model" else given)
            return Value(PERHAPS, origin=given.origin, one=given.one, made=base.made, hidden=hidden)
        return Value(max(base.level, given.level), made=base.made, hidden=hidden, extreme=base.extreme, kind=base.kind
                     if base.kind in ("model", "plot") else "", origin=base.origin)  # fmt: skip

    def path_method(self, base, name, call):
        if base.kind not in ("path", "input") or not base.place:
            if base.kind != "path":
                return None
        if name == "open":
            return self.opened(base, self.mode(call, 0), call)
        if name in ("read_text", "read_bytes"):
            self.looks(base, call, "read")
            return self.contents(base, call, "lines")
        if name in ("write_text", "write_bytes"):
            self.looks(base, call, "write")
            self.write(call, base)
            for value in call.arguments[:1]:
                self.reveal(call.node, call.scope, value, "output")
            return Value()
        if name in ("glob", "rglob", "iterdir"):
            self.looks(base, call, "read")
            return path(base.place)
        if name in ("joinpath", "with_name", "with_suffix", "with_stem", "resolve", "absolute", "expanduser", "as_posix",
                    "strip", "rstrip", "relative_to"):  # fmt: skip
            found = base
            for one in call.arguments if name == "joinpath" else ():
                found = self.beneath(found, one)
            return found if name in ("joinpath", "resolve", "absolute", "as_posix") else path(base.place)
        if name in ("exists", "is_file", "is_dir", "mkdir", "stat", "unlink", "touch", "chmod", "rmdir", "as_uri",
                    "endswith", "startswith", "match"):  # fmt: skip
            self.looks(base, call, "read")
            return Value()
        if name in ("symlink_to", "hardlink_to", "rename", "replace") and call.arguments:
            if call.arguments[0].place == "data":
                self.reveal(call.node, call.scope, Value(ROWS, origin=call.node.lineno), "output")
            return Value()
        return None if base.kind == "input" else path(base.place)

    def sink_method(self, base, name, call):
        writer = base.made in ("csv.writer", "csv.DictWriter", "io.StringIO") or base.kind == "sink"
        if base.made in ("pandas.ExcelWriter", "zipfile.ZipFile"):
            writer = True
        if not writer or not name.startswith("write"):
            if base.kind == "sink":
                return Value()
            return None
        for value in call.arguments[:2 if name == "writestr" else 1]:
            self.reveal(call.node, call.scope, value, "output")
            base.absorb(value)
        return Value()

    def model_method(self, base, name, call):
        if base.kind != "model":
            return None
        given = join(*call.arguments, *call.keywords.values())
        base.level = max(base.level, min(given.level, AGGREGATE))
        base.origin = base.origin or given.origin
        if name in ("fit", "partial_fit", "set_params", "fit_regularized", "compile"):
            return base
        if name in words.ROW_RESULTS and given.level >= PERHAPS:
            return Value(given.level, "series", origin=given.origin, one=given.one)
        if name in words.ROW_RESULTS and not call.arguments and base.level:
            return Value(PERHAPS, "series", origin=base.origin)
        if name.startswith(("save", "dump")) or name == "to_csv":
            self.write(call, call.arguments[0] if call.arguments else None)
        return base.like(kind="model")

    def container_method(self, base, name, call):
        if base.kind not in ("list", "dict", "set", "tuple") and not (base.kind == "records" and name == "append"):
            return None
        arguments = call.arguments
        if name in ("append", "add", "appendleft", "push") and arguments:
            put(base, arguments[0])
            base.one = False
            return Value()
        if name in ("extend", "update", "union", "insert", "extendleft") and arguments:
            last = arguments[-1]
            put(base, last.item or (self.element(last, call.node) if name != "insert" else last), last.key)
            if last.fields and base.fields is not None:
                base.fields.update(last.fields)
            return base if name == "union" else Value()
        if base.kind == "dict" and name == "setdefault" and arguments:
            given = arguments[1] if len(arguments) > 1 else Value()
            put(base, given, self.label(arguments[0]))
            return base.item
        if base.kind == "dict" and name in ("items", "keys", "values", "get", "pop", "copy", "popitem", "most_common"):
            item, key = base.item or Value(), base.key or Value()
            if name in ("get", "pop"):
                text = arguments[0].text if arguments else None
                found = (base.fields or {}).get(text) if text else None
                return found or either(item, arguments[1] if len(arguments) > 1 else None)
            if name in ("items", "most_common", "popitem"):
                pair = Value(max(item.level, key.level), "tuple", parts=(key, item), origin=base.origin)
                return pair if name == "popitem" else Value(pair.level, "list", item=pair, origin=base.origin, one=base.one)
            if name == "copy":
                return base
            return container("list", [item if name == "values" else key]).like(one=base.one)
        if name in ("sort", "reverse", "clear", "remove", "discard"):
            return Value()
        if name == "pop":
            if base.kind == "list" and arguments and isinstance(call.node.args[0], ast.Constant) and not base.item:
                return self.element(base, call.node)
            return base.item or Value(base.level, origin=base.origin)
        if name in ("count", "index"):
            return Value(min(base.level, AGGREGATE), origin=base.origin)
        if name == "copy":
            return base
        return None

    def text_method(self, base, name, call):
        arguments = call.arguments
        if name == "join" and arguments:
            items = arguments[0]
            texts = [one.text for one in items.parts] if items.parts else [None]
            if base.text is not None and None not in texts:
                return Value(kind="text", text=base.text.join(texts)[:TEXT], hidden=True)
            found = join(base, items)
            return found.like(kind="text", hidden=found.hidden or (items.hidden))
        if base.text is not None and base.level < PERHAPS:
            if name == "format":
                return join(base, *arguments, *call.keywords.values()).like(kind="text")
            if name in ("replace", "translate", "decode", "encode", "lower", "upper", "strip", "removeprefix"):
                text = None
                if name == "replace" and len(arguments) == 2 and None not in (arguments[0].text, arguments[1].text):
                    text = base.text.replace(arguments[0].text, arguments[1].text)[:TEXT]
                elif name in ("lower", "upper", "strip"):
                    text = getattr(base.text, name)()
                elif name in ("encode", "decode") and not (arguments and arguments[0].text not in ("utf-8", "utf8", "ascii")):
                    text = base.text
                return Value(kind="text", text=text, hidden=base.hidden or name in ("translate", "replace"))
            if name == "split":
                return Value(kind="list", item=Value(kind="text"), hidden=base.hidden)
        return None

    def row_method(self, base, name, call):
        """Something that holds rows, or did."""
        given = join(base, *call.arguments, *call.keywords.values())
        if name == "groupby":
            return self.grouped(base, call)
        if name in words.ROLLING or name == "resample":
            return base.like(kind="rolls" if name in words.ROLLING else "groups")
        if name.startswith(("to_", "write_", "sink_")) and self.writes(name, call):
            target = call.arguments[0] if call.arguments else next(iter(call.keywords.values()))
            self.write(call, target)
            self.reveal(call.node, call.scope, base, "output")
            return Value()
        if name == "plot" or name in words.GROUPED_CHARTS:
            kind = call.keywords.get("kind")
            if name == "plot" and (kind is None or kind.text not in words.GROUPED_CHARTS):
                self.reveal(call.node, call.scope, base.like(level=PERHAPS), "chart")
            return Value(kind="plot", made="matplotlib")
        if name in words.POINTS and base.kind == "series" and name not in ("table", "text", "step"):  # df.plot.scatter
            self.reveal(call.node, call.scope, base.like(level=PERHAPS), "chart")
            return Value(kind="plot", made="matplotlib")
        if name == "info":
            return Value()
        if name in ("agg", "aggregate", "apply", "pipe", "transform", "map", "applymap"):
            return self.applied(base, name, call)
        if name == "keys" and base.kind in ("record", "frame"):
            return Value(kind="name")
        if name == "items" and base.kind == "frame":
            column = base.like(kind="series")
            pair = Value(base.level, "tuple", parts=(Value(kind="name"), column), origin=base.origin)
            return Value(base.level, "list", item=pair, origin=base.origin)
        if name in ("iterrows", "itertuples", "iter_rows", "to_dicts"):
            row = Value(base.level, "record" if name == "to_dicts" else "row", origin=base.origin, one=True)
            pair = Value(base.level, "tuple", parts=(row.like(kind="cell"), row), origin=base.origin, one=True)
            return Value(base.level, "list", item=pair if name == "iterrows" else row, origin=base.origin)
        if name == "unique" and base.kind != "cell" and not base.identity and not base.one:
            return Value(AGGREGATE, origin=base.origin, extreme=True)
        if name in words.AGGREGATES:
            return self.reduced(base, name, call)
        if base.kind == "rolls":
            return base.like(kind="series")
        if name in ("readlines", "splitlines", "split", "read", "strip", "rstrip", "decode") and base.kind == "lines":
            return base.like()
        if name == "readline" and base.kind == "lines" and not base.begun:
            base.begun = True
            return Value(kind="header")
        if name in words.KEEP or base.one:
            if base.kind == "groups":
                return Value(base.level, "frame", origin=base.origin)
            return given.like(kind=base.kind if base.kind in ("frame", "series", "lines", "table", "records") else "cell",
                              one=base.one)  # fmt: skip
        return Value(PERHAPS, base.kind if base.kind in ("frame", "series", "groups") else "", origin=given.origin,
                     one=base.one, made=base.made)  # fmt: skip

    @staticmethod
    def writes(name, call):
        """Whether a `to_…` has somewhere to write to, or returns what it makes."""
        if name in ("to_numpy", "to_dict", "to_records", "to_frame", "to_list", "to_datetime", "to_numeric", "to_period",
                    "to_timestamp", "to_pandas", "to_arrow", "to_dicts", "to_series", "to_timedelta"):  # fmt: skip
            return False
        if name in ("to_clipboard", "to_sql", "to_gbq"):
            return True
        first = call.arguments[0] if call.arguments else None
        if first is None:
            return any(one in call.keywords for one in ("path_or_buf", "path", "buf", "excel_writer", "file"))
        return not first.number

    def grouped(self, base, call):
        by = [*call.arguments[:1], *(one for key, one in call.keywords.items() if key in ("by", "level"))]
        names = {text.casefold() for one in by for text in (one.text, *(part.text for part in one.parts or ())) if text}
        single = bool(names & self.identifiers) or any(one.identity for one in by) or base.identity
        return Value(base.level, "groups", origin=base.origin, identity=single, one=base.one)

    def reduced(self, base, name, call):
        if base.kind == "rolls" or base.one or base.kind == "cell" or self.by_row(call):
            return Value(base.level, "series", origin=base.origin, one=base.one)
        if base.kind == "groups" and base.identity and name not in ("ngroups",):
            return Value(base.level, "frame", origin=base.origin, identity=True)
        if base.identity and name in ("value_counts", "mode", "min", "max", "describe"):
            return Value(base.level, "series", origin=base.origin, identity=True)
        return Value(AGGREGATE, origin=base.origin, extreme=name in words.EXTREMES)

    def applied(self, base, name, call):
        """`agg`, `apply` and their like: by what they are given."""
        over = base.like(kind="frame") if base.kind == "groups" else base.like(kind="series", one=self.by_row(call))
        if name == "pipe":
            over = base
        inner = [value for value in (*call.arguments, *call.keywords.values())]
        inner += [part for value in inner for part in (value.parts or ())]
        inner += [part for value in inner for part in (value.fields or {}).values()]
        inner += [part for value in inner for part in (value.parts or ())]
        texts = {value.text for value in inner if value.text}
        results = [self.call_function(one, [over], {}, call.node) for one in inner if one.code]
        rowful = bool(texts & words.ROWFUL) or any((one.name or "").rpartition(".")[2] in ("list", "set", "tuple")
                                                   for one in inner if one.name)  # fmt: skip
        if name in ("transform", "applymap", "map") or rowful or self.by_row(call):
            return Value(base.level, base.kind if base.kind == "frame" else "series", origin=base.origin, one=base.one)
        if results:
            found = join(*results)
            if found.level >= PERHAPS or base.kind not in ("series",):
                return found.like(kind="frame", one=False) if found.level >= PERHAPS else found
            return Value(base.level, "series", origin=base.origin, one=base.one)
        named = any(one.name for one in inner) or texts
        if name in ("agg", "aggregate") or (named and (texts | {(one.name or "").rpartition(".")[2] for one in inner})
                                            & words.AGGREGATES):  # fmt: skip
            return self.reduced(base, "max" if texts & words.EXTREMES else "agg", call)
        return Value(PERHAPS, "frame", origin=base.origin, one=base.one)

    # what is seen

    def reveal(self, node, scope, value, where):
        """Something becomes visible: say so where it may hold a row."""
        line = getattr(node, "lineno", 0)
        if value.level >= PERHAPS:
            self.see(scope.file, line, "reveal", where, NAMES[value.level], [str(value.origin)])
        elif value.extreme:
            self.see(scope.file, line, "reveal", where, "extreme", [str(value.origin)])
        elif value.level == AGGREGATE:
            self.see(scope.file, line, "reveal", where, "aggregate", [str(value.origin)])


class Call:
    """One call: its node, where it stands, the values that it is given."""

    def __init__(self, node, scope, arguments, keywords):
        self.node, self.scope, self.arguments, self.keywords = node, scope, arguments, keywords
