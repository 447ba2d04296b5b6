"""A Python function as a job: its source alone travels, so it must be all that it needs."""

import ast
import builtins
import symtable
import textwrap
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from gitqueue.errors import Mistake

_GIVEN = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
# What is imported under another name than it is installed by.
_PACKAGES = {"sklearn": "scikit-learn", "PIL": "pillow", "yaml": "pyyaml", "skimage": "scikit-image", "cv2": "opencv"}


@dataclass(frozen=True, slots=True)
class Source:
    """A function's text without its decorators, its parameters (required ones first told), and what it imports."""

    name: str
    text: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    imports: tuple[str, ...]

    @property
    def module(self) -> str:
        """The file of the job. Type hints are kept, and never evaluated: what they name is not there."""
        return f"from __future__ import annotations\n\n\n{self.text}\n"

    def packages(self, allowed: Collection[str]) -> tuple[str, ...]:
        """The packages that a site allows and this needs, as far as its imports tell."""
        wanted = dict.fromkeys(_PACKAGES.get(name, name) for name in self.imports)
        return tuple(name for name in wanted if name in allowed)


def read(source: str, first_line: int) -> Source:
    """A function from the lines of its definition, which begin at `first_line` of their file or cell.

    Raises Mistake for everything that it uses and does not bring along, each by name and line.
    """
    text = textwrap.dedent(source)
    try:
        node = ast.parse(text).body[0]
    except SyntaxError as error:
        raise Mistake(f"the function's source cannot be read by itself: {error.msg}", step=_STEP) from error
    if not isinstance(node, ast.FunctionDef):
        raise Mistake("this is no plain function", step="write it with def: no lambda, no async, no class")
    faults = sorted(set(_faults(text, node)))
    if faults:
        raise Mistake(*(f"{node.name}, line {line + first_line - 1}: {why}" for line, why in faults), step=_STEP)
    return _source(text, node)


_STEP = "import inside the function, and hand in what it needs as a parameter"


def _source(text: str, node: ast.FunctionDef) -> Source:
    lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
    args = [*node.args.posonlyargs, *node.args.args]
    split = len(args) - len(node.args.defaults)
    named = list(zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True))
    required = [*args[:split], *(arg for arg, default in named if default is None)]
    optional = [*args[split:], *(arg for arg, default in named if default is not None)]
    names = tuple(arg.arg for arg in required), tuple(arg.arg for arg in optional)
    return Source(node.name, "\n".join(lines), *names, tuple(dict.fromkeys(_imports(node))))


def _imports(node: ast.FunctionDef) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in one.names)
        elif isinstance(one, ast.ImportFrom) and one.module and not one.level:
            yield one.module.partition(".")[0]


def _faults(text: str, node: ast.FunctionDef) -> Iterator[tuple[int, str]]:
    for decorator in node.decorator_list:
        if not _is_ours(decorator):
            yield decorator.lineno, f"the decorator {ast.unparse(decorator)[:60]} would stay behind"
    if node.args.vararg or node.args.kwarg or node.args.posonlyargs:
        yield node.lineno, "its parameters are handed in by name: no *args, no **kwargs, no /"
    if any(isinstance(one, ast.Yield | ast.YieldFrom) for one in ast.walk(node)):
        yield node.lineno, "it yields; return one value, or a tuple of values"
    outside = _outside(text, node)
    for one in _evaluated(node):
        if isinstance(one, ast.Name) and one.id in outside:
            yield one.lineno, f"{one.id!r} is defined outside the function"


def _is_ours(decorator: ast.expr) -> bool:
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(call, ast.Attribute | ast.Name) and ast.unparse(call).rpartition(".")[2] == "function"


def _outside(text: str, node: ast.FunctionDef) -> set[str]:
    """The names that the function, or its defaults, take from around it."""
    bare = ast.FunctionDef(**{field: getattr(node, field) for field in node._fields} | {"decorator_list": []})
    table = symtable.symtable(ast.unparse(ast.fix_missing_locations(_unhinted(bare))), "function", "exec")
    tops = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    return {name for name in (*tops, *_globals(table.get_children())) if name not in _GIVEN and name != node.name}


def _unhinted(node: ast.FunctionDef) -> ast.Module:
    """A copy without type hints: they are not evaluated."""
    tree = ast.parse(ast.unparse(ast.fix_missing_locations(ast.Module([node], []))))
    for one in ast.walk(tree):
        if isinstance(one, ast.arg):
            one.annotation = None
        elif isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            one.returns = None
    return tree


def _globals(tables: Sequence[symtable.SymbolTable]) -> Iterator[str]:
    for table in tables:
        yield from (symbol.get_name() for symbol in table.get_symbols() if symbol.is_global())
        yield from _globals(table.get_children())


def _evaluated(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but decorators and type hints."""
    yield node
    for field, value in ast.iter_fields(node):
        if field in ("decorator_list", "annotation", "returns"):
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.AST):
                yield from _evaluated(one)
