"""What a shell script does, by tree-sitter's grammar of bash: its commands, and the flow of data through its pipes."""

import os
import re

import python_code
from values import AGGREGATE, CLEAN, NAMES, PERHAPS, ROWS, Value, join, path, place_of

ROWISH = frozenset(
    "cat head tail sort cut grep egrep fgrep rg sed tac nl paste join shuf dd rev fold less more xxd od hexdump base64 "
    "base32 gzip gunzip zcat bzip2 bzcat xz xzcat zstd tr column fmt expand unexpand pr strings iconv split csplit comm "
    "diff cmp uniq csvcut csvgrep csvsort csvlook csvformat csvjson mlr jq xsv tee recode openssl gpg xargs".split()
)
COUNTS = frozenset("wc md5sum sha1sum sha256sum sha512sum cksum b2sum sum csvstat datamash".split())
SILENT = frozenset(
    "ls find stat du df test [ [[ file basename dirname realpath readlink cd mkdir rm rmdir touch chmod chown set export "
    "unset local declare readonly shift true false : exit return sleep date pwd which type command trap wait kill ulimit "
    "umask seq expr let hash alias unalias shopt getopts time "
    "Rscript julia quarto jupyter papermill make".split()  # what they run is looked at, or said to be unread, by itself
)
SHELLS = frozenset("sh bash dash zsh ksh ash busybox".split())
INTERPRETERS = re.compile(r"python[0-9.]*|pypy3?|ipython[0-9]*")
COPIES = frozenset("cp mv ln install rsync tar zip 7z cpio scp".split())
FOREVER = frozenset(("true", ":", "1"))
PREFIXES = frozenset("sudo env nohup nice time exec command stdbuf timeout xargs setsid builtin doas ionice".split())
DEPTH = 60


def analyse(source, file, top, told, see, first=1):
    """All that is seen in a script, whose first line is the file's line `first`."""
    import tree_sitter
    import tree_sitter_bash

    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))
    tree = parser.parse(source)
    Script(source, file, top, told, see, first).run(tree.root_node)


class Script:
    def __init__(self, source, file, top, told, see, first):
        self.source, self.file, self.top, self.told, self.first = source, file, top, told, first
        self._see = see
        self.names = {"GITQUEUE_DATA": path("data", ""), "GITQUEUE_OUTPUT": path("output", ""),
                      "TMPDIR": path("tmp", ""), "HOME": path("tmp", ""), "PWD": path("job", "")}  # fmt: skip
        self.functions, self.within = {}, 0
        self.cwd = "job"
        self.faulty = False

    def see(self, node, what, name, detail="", more=()):
        self._see(self.file, node.start_point[0] + self.first, what, name, detail, more)

    def line(self, node):
        return node.start_point[0] + self.first

    def text(self, node):
        return self.source[node.start_byte:node.end_byte].decode("utf-8", "replace")

    def run(self, root):
        self.top_level(root.children)
        if root.has_error:
            bad = self.broken(root)
            self.see(bad, "unparsed", "shell", self.text(bad)[:80])

    def broken(self, node):
        while True:
            inner = next((one for one in node.children if one.has_error or one.is_missing), None)
            if inner is None or inner is node:
                return node
            node = inner

    def top_level(self, nodes):
        for node in nodes:
            shown = self.do(node, Value())
            self.reveal(node, shown, "print")

    def reveal(self, node, value, where):
        if value.level >= AGGREGATE:
            line = value.origin or self.line(node)
            self._see(self.file, line, "reveal", where, NAMES[value.level], [str(line)])

    # statements; each returns what it prints

    def do(self, node, stdin):
        if self.within > DEPTH:
            raise RecursionError
        self.within += 1
        try:
            return getattr(self, f"do_{node.type}", self.do_other)(node, stdin)
        finally:
            self.within -= 1

    def do_other(self, node, stdin):
        if node.type in ("word", "string", "raw_string", "comment", "heredoc_body", "number", "test_operator"):
            return Value()
        return self.all(node.named_children, stdin)

    def all(self, nodes, stdin):
        found = Value()
        for node in nodes:
            found = self.worse(found, self.do(node, stdin))
        return found

    @staticmethod
    def worse(one, other):
        return other if other.level > one.level else one

    def do_comment(self, node, stdin):
        return Value()

    def do_pipeline(self, node, stdin):
        parts, decoded = node.named_children, False
        for at, part in enumerate(parts):
            program = self.program(part)
            if at and decoded and (program in SHELLS or INTERPRETERS.fullmatch(program or "") or program == "eval"):
                self.see(part, "piped", program, "decoded")
            elif at and (program in SHELLS or INTERPRETERS.fullmatch(program or "") or program in ("perl", "Rscript")) \
                    and not self.has_script(part):  # fmt: skip
                self.see(part, "piped", program, "")
            decoded = decoded or program in ("base64", "base32", "xxd", "openssl", "uudecode", "rev", "tr", "gunzip", "zcat")
            stdin = self.do(part, stdin)
        return stdin

    def program(self, node):
        """The last word of a command's name, where it is a command."""
        if node.type == "redirected_statement" and node.named_children:
            node = node.named_children[0]
        name = node.child_by_field_name("name") if node.type == "command" else None
        found = self.word(name.named_children[0], node) if name is not None and name.named_children else Value()
        return os.path.basename(found.text) if found.text else None

    def has_script(self, node):
        """A program of a pipe that reads data there, and its instructions elsewhere."""
        words = [self.text(one) for one in node.named_children[1:]] if node.type == "command" else []
        return any(not one.startswith("-") or one in ("-c", "-e") for one in words)

    def do_redirected_statement(self, node, stdin):
        body, outputs, heredoc = node.child_by_field_name("body"), [], None
        for one in node.named_children:
            if one.type == "file_redirect":
                stdin = self.redirect(one, stdin, outputs)
            elif one.type == "herestring_redirect":
                stdin = self.words(one.named_children, one)
            elif one.type == "heredoc_redirect":
                heredoc = one
                for more in one.named_children:
                    if more.type == "file_redirect":
                        self.redirect(more, stdin, outputs)
        if heredoc is not None:
            stdin = self.heredoc(heredoc, body, stdin)
        printed = self.do(body, stdin) if body is not None else Value()
        if heredoc is not None:
            for more in heredoc.named_children:
                if more.type in ("pipeline", "command"):
                    printed = self.do(more, printed)
        if not outputs:
            return printed
        for target in outputs:
            if target.place not in ("tmp",):
                self.reveal(node, printed, "output")
            elif target.text and not target.text.endswith("null"):
                self.names[f"file:{target.text}"] = printed
        return Value()

    def redirect(self, node, stdin, outputs):
        target = node.child_by_field_name("destination")
        operator = next((self.text(one) for one in node.children if not one.is_named), ">")
        found = self.word(target, node) if target is not None else Value()
        if found.text and found.text.startswith(("/dev/tcp", "/dev/udp")):
            self.see(node, "command", "/dev/tcp", found.text)
            return stdin
        if operator.startswith("<"):
            self.looks(node, found, "read")
            return self.contents(found, node)
        if "&" in operator and found.text in ("1", "2", None):
            return stdin
        self.wrote(node, found)
        outputs.append(found)
        return stdin

    def wrote(self, node, target):
        place = target.place or (self.placed(target.text) if target.text else None)
        if place == "output":
            text = target.text if target.place else os.path.relpath(target.text or "", "/output")
            self.see(node, "write", text or "", "output")
        elif place in ("outside", "system", "job", "data"):
            self.see(node, "write", target.text or "", place)

    def placed(self, text):
        if not text.startswith(("/", "~")) and self.cwd != "job":
            return self.cwd
        return place_of(text)

    def looks(self, node, target, how):
        if target.text is None:
            return
        place = target.place or self.placed(target.text)
        if place in ("outside", "system", "network"):
            self.see(node, "file", target.text[:200], f"{place} {how}")

    def contents(self, target, node):
        """What reading a file gives."""
        known = self.names.get(f"file:{target.text}")
        if known is not None:
            return known.like(origin=self.line(node))
        place = target.place or (self.placed(target.text) if target.text else None)
        if place == "data" or target.level >= PERHAPS:
            return Value(ROWS, origin=self.line(node))
        return Value()

    def heredoc(self, node, body, stdin):
        inner = next((one for one in node.named_children if one.type == "heredoc_body"), None)
        if inner is None:
            return stdin
        program = self.program(body) if body is not None else None
        text = self.source[inner.start_byte:inner.end_byte]
        if program in PREFIXES and body.named_children[1:]:
            program = os.path.basename(self.word(body.named_children[1], body).text or "")
        self.embedded(program, text, inner.start_point[0] + self.first, inner)
        for child in inner.named_children:
            self.do(child, Value())
        return self.words(inner.named_children, node)

    def embedded(self, program, text, line, node):
        """Code of a language within the script."""
        if program and INTERPRETERS.fullmatch(program):
            try:
                moved = b"\n" * (line - 1) + text
                python_code.analyse(moved, self.file, self.top, self.told, self._see)
            except python_code.FAULTS as error:
                self.see(node, "unparsed", "python", type(error).__name__)
        elif program in SHELLS:
            analyse(text, self.file, self.top, self.told, self._see, line)
        elif program in ("Rscript", "R", "perl", "ruby", "node", "julia", "php", "lua", "sqlite3", "psql", "duckdb"):
            self.see(node, "unparsed", program, "")

    def do_while_statement(self, node, stdin):
        condition = node.child_by_field_name("condition")
        said = self.text(condition).strip().rstrip(";").strip() if condition is not None else ""
        body = node.child_by_field_name("body")
        until = node.children[0].type == "until"
        always = said in (("false",) if until else FOREVER) or (not until and said in ("((1))", "[ 1 ]", "[[ 1 ]]"))
        if always and not re.search(r"\b(break|exit|return)\b", self.text(body) if body is not None else ""):
            self.see(node, "loop", "while")
        found = Value()
        for _ in range(2):
            if condition is not None:
                self.do(condition, stdin)
            found = self.worse(found, self.do(body, stdin) if body is not None else Value())
        return found

    def do_c_style_for_statement(self, node, stdin):
        body = node.child_by_field_name("body")
        head = self.text(node)[: node.child_by_field_name("body").start_byte - node.start_byte] if body is not None else ""
        if re.search(r"\(\(\s*;\s*;\s*\)\)", head) and not re.search(r"\b(break|exit|return)\b", self.text(body)):
            self.see(node, "loop", "for")
        return self.do(body, stdin) if body is not None else Value()

    def do_for_statement(self, node, stdin):
        name, body = node.child_by_field_name("variable"), node.child_by_field_name("body")
        values = [self.word(one, node) for one in node.named_children if one not in (name, body)]
        strongest = Value()
        for value in values:
            strongest = value if value.level > strongest.level or (value.place and not strongest.place) else strongest
        if name is not None:
            self.names[self.text(name)] = strongest.like(text=strongest.text if len(values) == 1 else None)
        return self.do(body, stdin) if body is not None else Value()

    def do_function_definition(self, node, stdin):
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None:
            self.functions[self.text(name)] = body
            self.reveal(node, self.do(body, Value()), "print")
        return Value()

    def do_subshell(self, node, stdin):
        cwd = self.cwd
        found = self.all(node.named_children, stdin)
        self.cwd = cwd
        return found

    def do_variable_assignment(self, node, stdin):
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is not None and value is not None:
            self.names[self.text(name)] = self.word(value, node)
        return Value()

    def do_declaration_command(self, node, stdin):
        return self.all([one for one in node.named_children if one.type == "variable_assignment"], stdin)

    # words

    def words(self, nodes, above):
        return join(*(self.word(one, above) for one in nodes))

    def word(self, node, above):
        """A word's value: its text where it is known, where it leads, what it holds of the data."""
        kind = node.type
        if kind in ("word", "number", "command_name", "variable_name", "special_variable_name", "extglob_pattern", "regex"):
            if node.named_children and kind == "command_name":
                return self.word(node.named_children[0], above)
            text = self.text(node)
            plain = re.sub(r"\\(.)", r"\1", text)
            return self.literal(plain, hidden=kind == "word" and "\\" in text and plain.isalnum())
        if kind == "raw_string":
            return self.literal(self.text(node)[1:-1])
        if kind == "ansi_c_string":
            return Value(kind="text", text=self.unescaped(self.text(node)[2:-1]), hidden=True)
        if kind in ("string", "translated_string"):
            return self.concatenated(node, quoted=True)
        if kind == "concatenation":
            found = self.concatenated(node, quoted=False)
            pieces = [one.type for one in node.named_children]
            return found.like(hidden=found.hidden or (found.text is not None and found.text.isalnum() and len(pieces) > 1))
        if kind in ("simple_expansion", "expansion"):
            return self.expansion(node)
        if kind in ("command_substitution", "process_substitution"):
            found = Value()
            for one in node.named_children:
                said = self.redirect(one, Value(), []) if one.type == "file_redirect" else self.do(one, Value())
                found = said if said.place and not found.level else self.worse(found, said)
            return Value(found.level, origin=found.origin, kind="computed", place=found.place)
        if kind == "array":
            return self.words(node.named_children, above)
        return self.words(node.named_children, above)

    @staticmethod
    def unescaped(text):
        return re.sub(r"\\x([0-9a-fA-F]{1,2})|\\([0-7]{1,3})",
                      lambda found: chr(int(found[1], 16) if found[1] else int(found[2], 8)), text)  # fmt: skip

    def literal(self, text, hidden=False):
        found = Value(kind="text", text=text, hidden=hidden)
        relative = not text.startswith(("/", "-", "$", "~")) and self.cwd == "data"
        if relative and re.search(r"[./*?]", text):
            found.place = "data"
        return found

    def concatenated(self, node, quoted):
        """Pieces beside each other. Bytes between named pieces belong to the text, too."""
        level, place, origin, text, computed = CLEAN, None, 0, "", False
        for one in node.named_children:
            if one.type == "string_content":
                text = None if text is None else text + self.text(one)
                continue
            piece = self.word(one, node)
            level, origin = max(level, piece.level), origin or piece.origin
            computed = computed or piece.kind == "computed"
            if piece.place and place is None and not text:
                place, text = piece.place, piece.text
            elif piece.place in ("data", "output", "tmp") and piece.text is not None and text is not None:
                text += f"/{piece.place}/{piece.text}"  # amid other text: a command line for `sh -c`, an SQL statement
            else:
                text = None if text is None or piece.text is None else text + piece.text
        if place and text is not None:
            if ".." in text.split("/") and place in ("data", "output"):
                place = place_of(f"/{place}/{text}")
            text = text.lstrip("/")
        elif text is not None and not quoted:
            return Value(level, "text", text=text, origin=origin).like(place=self.literal(text).place)
        return Value(level, "computed" if computed else "text", text=text, place=place, origin=origin)

    def expansion(self, node):
        name = next((one for one in node.named_children if one.type in ("variable_name", "subscript")), None)
        if name is None:
            return Value(kind="computed")
        for one in node.named_children:
            if one is not name:
                self.word(one, node)
        said = self.text(name).partition("[")[0]
        return self.names.get(said, Value(kind="computed"))

    # commands

    def do_command(self, node, stdin):
        name = node.child_by_field_name("name")
        for one in node.named_children:
            if one.type == "variable_assignment":
                self.do_variable_assignment(one, stdin)
            elif one.type == "file_redirect":
                stdin = self.redirect(one, stdin, [])
            elif one.type == "herestring_redirect":
                stdin = self.words(one.named_children, one)
        if name is None:
            return Value()
        inner = self.word(name, node)
        rest = [one for one in node.named_children if one != name and one.type not in (
            "variable_assignment", "file_redirect", "herestring_redirect", "command_name")]  # fmt: skip
        arguments = [self.word(one, node) for one in rest]
        while inner.text and os.path.basename(inner.text) in PREFIXES and arguments:
            self.said(node, inner, arguments)
            if os.path.basename(inner.text) == "xargs" and stdin.place:  # names of files come in, and become arguments
                arguments, rest = [*arguments, stdin.like(text=None)], [*rest, node]
            skipped = [at for at, one in enumerate(arguments)
                       if one.text is None or not re.match(r"-|\d+[smh]?$|\w+=", one.text)]  # fmt: skip
            if not skipped:
                return stdin
            inner, rest, arguments = arguments[skipped[0]], rest[skipped[0] + 1:], arguments[skipped[0] + 1:]
        return self.command(node, inner, rest, arguments, stdin)

    def said(self, node, name, arguments):
        shown = " ".join(one.text if one.text is not None else "…" for one in arguments)[:200]
        more = ["hidden"] if name.hidden else []
        more += ["computed"] if name.text is None else []
        more += ["arguments computed"] if any(one.text is None and not one.place for one in arguments) else []
        self.see(node, "command", os.path.basename(name.text or "") or "?", shown, more)

    def command(self, node, name, rest, arguments, stdin):
        program = os.path.basename(name.text or "")
        self.said(node, name, arguments)
        if name.text and "/" in name.text:
            self.looks(node, name.like(place=None), "run")
        for one in arguments:
            if one.text and re.match(r"[/~]|\.\./|.*://", one.text) and program not in ("echo", "printf", "sed", "awk", "grep"):
                self.looks(node, one, "read")
        handler = getattr(self, f"run_{program}", None) if program.isidentifier() else None
        if handler:
            return handler(node, rest, arguments, stdin)
        if program in SHELLS or INTERPRETERS.fullmatch(program):
            return self.interpreter(program, node, rest, arguments, stdin)
        if program in self.functions:
            for at, one in enumerate(arguments, 1):
                self.names[str(at)] = one
            return self.do(self.functions[program], stdin)
        return self.plain(program, node, arguments, stdin)

    def plain(self, program, node, arguments, stdin):
        """By what is known of a program: rows in, rows out; or counts of them; or nothing at all."""
        line = self.line(node)
        read = stdin
        for one in arguments:
            named = (one.place or one.text) and program not in ("echo", "printf")
            held = self.contents(one, node) if named else one
            read = self.worse(read, held if held.level > one.level else one)
            if program not in SILENT and program not in COPIES and "/data/" in (one.text or "") and named:
                read = self.worse(read, Value(PERHAPS, origin=line))
        if program in COPIES:
            return self.copied(node, arguments, read)
        if program in ("find", "ls") and any(one.place == "data" for one in arguments):
            return self.names_of_files(node, arguments)
        if program in SILENT:
            return Value()
        level = read.level
        options = " ".join(one.text or "" for one in arguments)
        if program in COUNTS or (program == "uniq" and re.search(r"-\w*c", options)) or (
            program in ("grep", "egrep", "fgrep", "rg") and re.search(r"(^|\s)-\w*[cqlL]", options)
        ):
            level = min(level, AGGREGATE)
        elif program not in ROWISH and level >= PERHAPS and program not in ("echo", "printf"):
            level = PERHAPS
        targets = [one for one in arguments if one.place == "output"]
        if targets and level >= PERHAPS and program not in ("echo", "printf"):
            self.reveal(node, Value(level, origin=line), "output")
        for one in targets:
            self.wrote(node, one)
        return Value(level, origin=line if level else 0)

    def names_of_files(self, node, arguments):
        """What find and ls print; and what find runs on each of them."""
        at = next((at for at, one in enumerate(arguments) if one.text in ("-exec", "-execdir", "-ok")), None)
        if at is not None and arguments[at + 1:]:
            there = [path("data") if one.text == "{}" else one for one in arguments[at + 2:]]
            return self.command(node, arguments[at + 1], [node] * len(there), there, Value())
        return path("data")

    def run_trap(self, node, rest, arguments, stdin):
        if arguments and arguments[0].text:
            self.embedded("sh", arguments[0].text.encode(), self.line(node), node)
        return Value()

    def copied(self, node, arguments, read):
        """cp and its like: a target may be a folder, so its name tells nothing of what is written."""
        if read.level >= PERHAPS and any(one.place in ("output", None) for one in arguments):
            self.reveal(node, Value(read.level, origin=self.line(node)), "output")
        return Value()

    def run_cd(self, node, rest, arguments, stdin):
        target = arguments[0] if arguments else Value()
        self.cwd = target.place or (place_of(target.text) if target.text else "job")
        return Value()

    run_pushd = run_cd

    def run_read(self, node, rest, arguments, stdin):
        for one in rest:
            name = self.text(one)
            if re.fullmatch(r"\w+", name):
                self.names[name] = Value(stdin.level, "computed", origin=stdin.origin)
        return Value()

    run_mapfile = run_readarray = run_read

    def run_eval(self, node, rest, arguments, stdin):
        self.see(node, "eval", "eval", "computed" if any(one.text is None for one in arguments) else "")
        texts = [one.text for one in arguments]
        if texts and None not in texts:
            self.embedded("sh", " ".join(texts).encode(), self.line(node), node)
        return Value()

    def run_source(self, node, rest, arguments, stdin):
        if arguments and arguments[0].text is None:
            self.see(node, "eval", "source", "computed")
        return Value()

    def run_tee(self, node, rest, arguments, stdin):
        for one in arguments:
            if one.place == "output" or (one.text and place_of(one.text) == "output"):
                self.wrote(node, one)
                self.reveal(node, stdin, "output")
        return stdin

    def run_awk(self, node, rest, arguments, stdin):
        """awk prints a row for each row, unless all that it prints stands in END."""
        texts, program, files, at = [one.text for one in arguments], None, [], 0
        while at < len(arguments):
            if texts[at] in ("-v", "-F", "-f"):
                at += 2
                continue
            if not (texts[at] or "").startswith("-"):
                if program is None:
                    program = texts[at] or ""
                else:
                    files.append(arguments[at])
            at += 1
        if re.search(r"\bsystem\s*\(|\|\s*getline|\|\s*\"|\bprint[^;}]*\|", program or ""):
            self.see(node, "command", "awk system()", (program or "")[:200])
        read = stdin
        for one in files:
            read = self.worse(read, self.contents(one, node))
        if read.level < PERHAPS:
            return Value()
        rows = self.prints_rows(program or "")
        level = read.level if rows else AGGREGATE
        for target in re.findall(r'>\s*"([^"]+)"', program or ""):
            self.wrote(node, Value(kind="text", text=target))
        return Value(level, origin=self.line(node))

    run_gawk = run_mawk = run_nawk = run_awk

    @staticmethod
    def prints_rows(program):
        kept, depth, block, at = "", 0, False, 0
        program = re.sub(r"#[^\n]*", "", program)
        while at < len(program):
            found = re.match(r"\b(END|BEGIN)\s*\{", program[at:]) if depth == 0 else None
            if found:
                block, depth, at = True, 1, at + found.end()
                continue
            letter = program[at]
            depth += (letter == "{") - (letter == "}")
            if not block:
                kept += letter
            if depth == 0 and letter == "}":
                block = False
            at += 1
        kept = re.sub(r"function\s+\w+\s*\([^)]*\)\s*\{.*?\}", "", kept, flags=re.S).strip()
        bare = [rule for rule in re.split(r"[;\n]", re.sub(r"\{[^{}]*\}", "{}", kept)) if rule.strip()]
        without_action = any("{" not in rule and "}" not in rule for rule in bare)
        return bool(re.search(r"\bprintf?\b", kept)) or (without_action and bool(kept))

    def interpreter(self, program, node, rest, arguments, stdin):
        texts = [one.text for one in arguments]
        for flag in ("-c",):
            if flag in texts and texts.index(flag) + 1 < len(texts):
                at = texts.index(flag) + 1
                if texts[at] is None:
                    self.see(node, "eval", program, "computed")
                else:
                    self.embedded(program, texts[at].encode(), rest[at].start_point[0] + self.first, node)
        return Value(PERHAPS, origin=self.line(node)) if stdin.level >= PERHAPS else Value()
