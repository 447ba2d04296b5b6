"""What a Python file does: its structure, bandit's opinion, and the flow of data through it."""

import ast
import io
import logging
import re
import tokenize
import unicodedata
import warnings
from functools import cache

from flow import Follower
from scopes import TooMuch

PACKED = re.compile(r"(?:[A-Za-z0-9+/_=-]{200,}|(?:\\x[0-9a-fA-F]{2}){40,}|[0-9a-fA-F\s]{300,})")
LONG_LINE = 2000
LEAVES = (ast.Break, ast.Return, ast.Raise, ast.Yield, ast.YieldFrom)
FOREVER = ("count", "cycle", "repeat")


def analyse(source, file, top, told, see, shown=()):
    """All that is seen in a file; `shown` are lines whose value a notebook shows. Raises SyntaxError and its like."""
    tree = ast.parse(source, filename=file)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and node.end_lineno in shown:
            node.shown = True
    text = source.decode("utf-8", "replace")
    structure(tree, file, see)
    written(text, file, see)
    opinion(source, tree, file, see)
    entry = None
    wanted, _, function = (told.get("entrypoint") or "").rpartition(":")
    if wanted and wanted == file:
        entry = (function, tuple(told.get("inputs", ())))
    Follower(top, told, see).run(tree, file, entry)


def looks_like(source):
    """Whether a text that is not called Python is some all the same."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.Call)) for node in ast.walk(tree))


def structure(tree, file, see):
    for node in ast.walk(tree):
        if isinstance(node, ast.While) and endless(node):
            see(file, node.lineno, "loop", "while")
        elif isinstance(node, ast.For) and for_ever(node):
            see(file, node.lineno, "loop", "for")
        elif isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            packed(node, file, see)


def endless(node):
    always = isinstance(node.test, ast.Constant) and bool(node.test.value)
    return always and not any(isinstance(one, LEAVES) or leaves(one) for part in node.body for one in ast.walk(part))


def for_ever(node):
    call = node.iter if isinstance(node.iter, ast.Call) else None
    name = getattr(call.func, "attr", None) or getattr(call.func, "id", None) if call else None
    if name not in FOREVER or (name == "repeat" and len(call.args) > 1):
        return False
    return not any(isinstance(one, LEAVES) or leaves(one) for part in node.body for one in ast.walk(part))


def leaves(node):
    """A call that ends the program."""
    if not isinstance(node, ast.Call):
        return False
    name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
    return name in ("exit", "_exit", "quit", "abort")


def packed(node, file, see):
    text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
    found = PACKED.fullmatch(text.strip()) if len(text) >= 200 else None
    binary = isinstance(node.value, bytes) and len(text) > 100 and sum(not 32 <= ord(one) < 127 for one in text) > 30
    if found or binary:
        see(file, node.lineno, "literal", "packed", str(len(text)))


def written(text, file, see):
    """What stands in the text, and not in the tree: lines that nobody reads to their end, look-alike names."""
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > LONG_LINE:
            see(file, number, "literal", "long line", str(len(line)))
    if text.isascii():
        return
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME and not token.string.isascii():
                plain = unicodedata.normalize("NFKC", token.string)
                see(file, token.start[0], "look-alike", plain if plain.isascii() else token.string)
    except (tokenize.TokenError, SyntaxError):
        pass  # the tree was read all the same; only names in the rest go unchecked


@cache
def bandits_tests():
    """All of bandit's; made once, before files are looked at."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore", DeprecationWarning)
    from bandit.core import config, test_set

    return test_set.BanditTestSet(config.BanditConfig())


def opinion(source, tree, file, see):
    """bandit's, with its own marks for silence (`nosec`) ignored: a requester does not silence an owner's tool."""
    try:
        tests = bandits_tests()
        from bandit.core import meta_ast, metrics, node_visitor
    except ImportError:
        see(file, 0, "missing", "bandit")
        return
    counted = metrics.Metrics()
    counted.begin(file)
    visitor = node_visitor.BanditNodeVisitor(
        file, io.BytesIO(source), meta_ast.BanditMetaAst(), tests, False, {}, counted
    )
    visitor.process(source)
    for issue in visitor.tester.results:
        see(file, issue.lineno, "bandit", issue.test_id, f"{issue.confidence} {issue.text}"[:200])


FAULTS = (SyntaxError, ValueError, RecursionError, MemoryError, UnicodeError, OverflowError, TooMuch)
