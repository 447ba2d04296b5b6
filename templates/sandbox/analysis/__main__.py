"""Facts about a job's code, as JSON, for rules that decide elsewhere. It judges nothing itself.

    python3 -I analysis JSON        (what the job asks for; its files are in /job, the facts go to /output/findings.json)

Runs inside the sandbox, so it believes nothing: each file is read in a process of its own, with a limit of time and of
memory, so that one that breaks a parser tells nothing but that of itself.
"""

import json
import os
import resource
import signal
import sys
import time

sys.path.append("/opt/tools/packages")  # bandit and tree-sitter, where gitqueue has put them

import kinds
import python_code

TOP, RESULT = "/job", "/output/findings.json"
SIZE = 4 << 20  # bytes of one file that are read
ANSWER = 150_000  # bytes of facts of one file
ALL = 900_000
SECONDS, ALL_SECONDS, MEMORY = 8, 24, 640 << 20
LINES = 12  # of the same thing
THINGS = 1500


def main():
    told = json.loads(sys.argv[1])
    started = time.monotonic()
    names = sorted(found(TOP))
    told["files"] = [name for name, _ in names]
    asked = wanted(told)
    import_parsers(names)
    files, size = [], 0
    for name, path in [("job.yaml", None), *names] if told.get("run") else names:
        late = time.monotonic() - started > ALL_SECONDS
        facts = {"path": name, "kind": "", "trouble": "there was no time left"} if late else apart(name, path, told, asked)
        size += len(json.dumps(facts))
        if size > ALL:
            facts = {"path": name[:200], "kind": "", "trouble": "the job holds more than can be told"}
        files.append(facts)
    with open(RESULT, "w", encoding="ascii") as result:
        json.dump({"files": files}, result)


def import_parsers(names):
    """Before the first fork, so that each file need not pay for it."""
    if any(name.endswith((".py", ".ipynb", ".sh")) for name, _ in names):
        try:
            python_code.bandits_tests()
        except ImportError:
            pass  # each Python file says that it is missing


def found(top):
    for folder, below, names in os.walk(top):
        below.sort()
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield os.path.relpath(path, top), path


def wanted(told):
    """Which files the job's own command runs as what, whatever they are called."""
    found, words = {}, told.get("run") or []
    program = os.path.basename(words[0]) if words else ""
    script = next((word for word in words[1:] if not word.startswith("-")), None)
    if "-c" in words or "-m" in words:
        script = None
    if script and program.startswith(("python", "ipython", "pypy")):
        found[os.path.normpath(script)] = "python"
    elif script and program in ("sh", "bash", "dash", "zsh", "ksh"):
        found[os.path.normpath(script)] = "shell"
    if told.get("entrypoint"):
        found[told["entrypoint"].rpartition(":")[0]] = "python"
    return found


def apart(name, path, told, asked):
    """One file's facts, from a process that may die of it."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        answer(theirs, name, path, told, asked)
    os.close(theirs)
    said = b""
    with os.fdopen(ours, "rb") as pipe:
        while piece := pipe.read(1 << 16):
            said += piece
            if len(said) > ANSWER:
                os.kill(child, signal.SIGKILL)
                break
    _, status = os.waitpid(child, 0)
    facts = {"path": name[:500], "kind": "", "trouble": ""}
    try:
        return json.loads(said)
    except ValueError:
        if len(said) > ANSWER:
            facts["trouble"] = "it holds more than can be told"
        elif os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
            facts["trouble"] = f"it took more than {SECONDS} s"
        else:
            facts["trouble"] = "the parser died of it"
        return facts


def answer(pipe, name, path, told, asked):
    try:
        signal.alarm(SECONDS)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.setrecursionlimit(3000)
        text = json.dumps(one(name, path, told, asked)).encode()
        with os.fdopen(pipe, "wb") as out:
            out.write(text)
        os._exit(0)
    except BaseException:
        os._exit(1)


class Seen:
    """What was seen, by file; the same thing again and again a few times only."""

    def __init__(self):
        self.rows, self.times, self.full = {}, {}, False

    def __call__(self, file, line, what, name, detail="", more=(), cell=0):
        same = (file, what, name, detail)
        row = {"line": line, "what": what, "name": str(name)[:200], "detail": str(detail)[:300],
               "more": [str(one)[:60] for one in more][:20], "cell": cell, "file": file}  # fmt: skip
        key = (line, cell, *same, *row["more"])
        if key in self.rows:
            return
        self.times[same] = self.times.get(same, 0) + 1
        if self.times[same] > LINES:
            return
        if len(self.rows) >= THINGS:
            self.full = True
            return
        self.rows[key] = row


def one(name, path, told, asked):
    see = Seen()
    facts = {"path": name[:500], "kind": "command", "trouble": ""}
    try:
        if path is None:
            command(told["run"], told, see)
        else:
            facts["kind"] = kinds.kind(path, name, asked.get(name))
            facts["trouble"] = read(facts, path, name, told, see)
    except Exception as error:
        facts["trouble"] = trouble(error)
    if see.full:
        facts["trouble"] = facts["trouble"] or "it does more than can be told"
    facts["seen"] = list(see.rows.values())
    return facts


def trouble(error):
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: it is no valid code: {error.msg}"[:200]
    if isinstance(error, (RecursionError, MemoryError)):
        return "it is nested too deeply, or too large, to be read"
    if isinstance(error, ImportError):  # gitqueue's own Python, unlike this one, lies where the sandbox user cannot go
        return "tree-sitter cannot be loaded by the sandbox's Python"
    if isinstance(error, python_code.TooMuch):
        return "it does more than can be followed"
    return f"it could not be read: {type(error).__name__}: {error}"[:200]


def command(words, told, see):
    """The job's own command line, where it holds code or names a program."""
    import shlex

    import shell_code

    if os.path.basename(words[0]).startswith(("python", "pypy")) and "-c" not in words:
        return
    shell_code.analyse(shlex.join(words).encode(), "job.yaml", TOP, told, see)


def read(facts, path, name, told, see):
    kind = facts["kind"]
    if kind not in ("python", "shell", "notebook", "text"):
        return ""
    if os.path.getsize(path) > SIZE:
        return "it is too large to be read as code" if kind != "text" else ""
    with open(path, "rb") as file:
        source = file.read(SIZE)
    if kind == "text":
        if not python_code.looks_like(source):
            return ""
        see(name, 0, "disguised", "python")
        kind = facts["kind"] = "python"
    if kind == "python":
        python_code.analyse(source, name, TOP, told, see)
    elif kind == "shell":
        import shell_code

        shell_code.analyse(source, name, TOP, told, see)
    else:
        import notebook

        notebook.analyse(source, name, TOP, told, see)
    return ""


if __name__ == "__main__":
    main()
