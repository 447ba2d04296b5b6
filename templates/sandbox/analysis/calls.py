"""Calls, and those of the job's own functions and classes."""

import ast

import words
from scopes import Call, Scope
from values import CLEAN, PERHAPS, Value, container, either, join

DEPTH = 12  # calls within calls
SPOKEN = ("__str__", "__repr__", "__format__", "__iter__", "__next__", "__call__", "__enter__", "__getitem__", "__bool__",
          "__getattr__", "__len__", "__bytes__", "__missing__", "__contains__", "__lt__", "__eq__", "__neg__", "__invert__",
          *(f"__{way}{name}__" for name in "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split()
            for way in ("", "r", "i")))  # fmt: skip
LAST = ("__del__", "__exit__", "__aexit__")  # what Python calls in the end


class Calls:
    """What is called, with what, and what comes back."""

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
        return self.invoke(function, call)

    def invoke(self, function, call):
        """Something that is no function of the job's: a library's, or a method that was put aside before."""
        if function.kind == "caller" and call.arguments:
            return self.sent(function, call)
        if function.name:
            return self.outside(function, call)
        if function.bound is not None:
            return self.method(*function.bound, call)
        return self.unknown(function, call)

    def sent(self, function, call):
        """`operator.methodcaller("to_csv", …)(frame)`"""
        base = call.arguments[0]
        if function.made == "operator.attrgetter":
            return self.attribute(base, function.text, call.node, call.scope)
        return self.method(base, function.text, Call(call.node, call.scope, list(function.parts), function.fields))

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
            for name in SPOKEN:  # what Python calls of itself
                method = function.fields.get(name)
                if method is not None and method.code:
                    made.absorb(self.call_function(method, [made], {}, call.node))
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
