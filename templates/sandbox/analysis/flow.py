"""Follow a Python program without running it: from where data are read to where something is shown or written.

It believes every branch, runs every loop twice and enters every function of the job. What it cannot follow it calls
`perhaps`, and what is too much for it, it says.
"""

import ast
import os

from calls import Calls
from expressions import Expressions
from libraries import Libraries
from methods import Methods
from scopes import Scope
from statements import Statements
from values import AGGREGATE, NAMES, PERHAPS, ROWS, Value

FILE = 4 << 20


class Follower(Statements, Expressions, Calls, Libraries, Methods):
    """One program: its own file, and what it takes from its neighbours."""

    def __init__(self, top, told, see):
        self.top, self.told, self.see = top, told, see
        self.identifiers = {name.casefold() for name in told.get("identifiers", ())}
        self.steps, self.depth = 0, 0
        self.environment = Value()  # what the program has put into it
        self.modules, self.seen_functions, self.calls = {}, set(), []

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
        base = os.path.dirname(file)  # where Python looks first for a script's own imports
        for _ in range(max(0, level - 1)):
            base = os.path.dirname(base)
        for folder in (base,) if level else (base, ""):
            stem = os.path.join(folder, *dotted.split(".")) if dotted else folder
            for name in (f"{stem}.py", os.path.join(stem, "__init__.py")):
                if name in self.modules:
                    return self.modules[name]
                if name != file and name in self.told["files"]:
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

    def reveal(self, node, scope, value, where):
        """Something becomes visible: say so where it may hold a row."""
        line = getattr(node, "lineno", 0)
        if value.level >= PERHAPS:
            self.see(scope.file, line, "reveal", where, NAMES[value.level], [str(value.origin)])
        elif value.extreme:
            self.see(scope.file, line, "reveal", where, "extreme", [str(value.origin)])
        elif value.level == AGGREGATE:
            self.see(scope.file, line, "reveal", where, "aggregate", [str(value.origin)])
