"""Expressions: what a value is made of."""

import ast
import os

import words
from scopes import Scope, TooMuch
from values import AGGREGATE, CLEAN, PERHAPS, TEXT, Value, container, either, join, path, place_of, put

STEPS = 150_000  # expressions that are looked at before giving up


class Expressions:
    """Each `of_…` is an expression of Python's grammar; it returns a value."""

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
            found = base.fields[name]
            return self.call_function(found, [base], {}, node) if found.kind == "property" else found
        if base.name is not None and base.level == CLEAN:
            if name == "__dict__":
                return base.like(kind="names")
            found = base.like(name=f"{base.name}.{name}", kind="")
            self.use(node, scope, found)
            return found
        if base.kind == "class" or (base.kind == "namespace" and base.fields):
            return Value()
        if base.made and base.level == CLEAN and base.kind not in ("path", "sink", "model"):
            self.see(scope.file, node.lineno, "use", f"{base.made}().{name}")
            return base.like(name=None, bound=(base, name))
        return self.plain_attribute(base, name).like(bound=(base, name))

    def plain_attribute(self, base, name):
        if base.kind == "model" and base.level and name in words.OF_ROWS:
            return Value(PERHAPS, "series", origin=base.origin)
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
            if name in ("loc", "iloc", "at", "iat") and base.kind in ("frame", "series", ""):
                return base.like(kind="locator", item=None, fields=None, parts=None)
            if name == "index":
                return base.like(kind="index", item=None, fields=None, parts=None)
            if name == "values" and base.kind == "frame":
                return base.like(made="array", item=None, fields=None, parts=None)
            kind = base.kind if name in ("values", "str", "dt", "cat") else "series"
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
        if held.kind == "locator":
            return self.located(held, key, sliced, identity)
        if key.kind == "pick":
            return held.like(one=True, item=None)
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
        if held.kind == "" and key.kind == "text" and not held.one:  # a column, of what is some kind of table
            return held.like(kind="series", identity=identity, item=None, parts=None)
        if held.kind == "dict":
            return held.item if held.item is not None else Value(held.level, "cell", origin=held.origin, one=True)
        if sliced:
            return held.like(parts=None)
        return self.element(held, node)

    @staticmethod
    def located(held, key, sliced, identity):
        """`frame.loc[…]`: rows first. A single label or number is one row, of which no mean is an aggregate."""
        pair = key.parts if key.kind == "tuple" and key.parts and len(key.parts) == 2 else (key, None)
        first, second = pair
        many = sliced or first.kind in ("slice", "list", "index", "name") or first.level >= PERHAPS
        column = second is not None and second.kind == "text"
        one = held.one or not many or first.kind == "pick"
        return held.like(kind="series" if column else "frame" if many else "row", one=one, identity=identity, item=None)

    def of_Slice(self, node, scope):
        found = join(*(self.value(one, scope) for one in (node.lower, node.upper, node.step) if one is not None))
        if self.short(node):
            return Value(found.level, "pick", origin=found.origin)
        return Value(found.level, "slice", origin=found.origin)

    @staticmethod
    def short(node):
        """`x[i:i + 1]`: a row, or a few."""
        upper = node.upper
        if node.lower is None or not isinstance(upper, ast.BinOp) or not isinstance(upper.op, ast.Add):
            return False
        few = isinstance(upper.right, ast.Constant) and isinstance(upper.right.value, int) and upper.right.value < 10
        return few and ast.dump(upper.left) == ast.dump(node.lower)

    def looked_up(self, held, key, node, scope):
        """`os.environ["X"]`, `sys.modules["os"]`, `vars(os)["system"]`."""
        if held.name == "os.environ":
            return self.environment if self.environment.level >= PERHAPS else self.setting(key.text)
        if held.name == "sys.modules":
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
        if isinstance(node.op, ast.MatMult) and left.kind == "columns":  # X.T @ X: sums over all rows
            return Value(min(found.level, AGGREGATE), origin=found.origin)
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
        named = found.identity and any(one.level < PERHAPS for one in values)
        picks = isinstance(node.ops[0], ast.Eq) and (named or any(one.kind == "index" for one in values))
        return found.like(kind="pick" if picks else "series" if found.level >= PERHAPS and not found.one else "")

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
