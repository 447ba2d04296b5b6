"""Calls of things from outside, by their names: where data come from, what sums them up, where they show."""

import ast
import os
import re

import words
from scopes import Call
from values import AGGREGATE, CLEAN, PERHAPS, ROWS, Value, container, join, path, place_of, put


class Libraries:
    """Each handler knows some names, and returns None for all others."""

    def outside(self, function, call):
        """By name: where data come from, what makes aggregates of them, where they are shown."""
        name = function.name
        self.called(call, name, function.hidden)
        short = name.rpartition(".")[2]
        for handle in (self.reflective, self.unbound_method, self.handing, self.printing, self.writing, self.pathlike, self.reading, self.charting,
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
                if name.startswith(("pandas.", "polars.", "numpy.")):
                    kind = words.TABLES.get(name.rpartition(".")[2], first.kind)
                    return Value(found.level, kind, origin=found.origin, one=found.one, identity=first.identity, made=name)
                return first.like(hidden=hidden, one=found.one, made=name)
            return Value(PERHAPS, made=name, origin=found.origin, one=found.one, hidden=hidden)
        if call.arguments and call.arguments[0].kind == "name" and words.KEEPERS.fullmatch(name):
            return call.arguments[0]
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
        if name == "builtins.setattr" and call.arguments and (call.arguments[0].name or call.arguments[0].hidden):
            self.see(call.scope.file, call.node.lineno, "getattr", call.arguments[0].name or "a module")
        if name == "functools.partial" and call.arguments:
            function, rest = call.arguments[0], call.arguments[1:]
            if rest or call.keywords:  # as if it were called now: what it is given later comes on top
                again = Call(call.node, call.scope, rest, call.keywords)
                self.own(function, None, again) if function.code else self.invoke(function, again)
            return function
        if name in ("operator.methodcaller", "operator.attrgetter") and texts and texts[0]:
            return Value(kind="caller", text=texts[0], made=name, parts=tuple(call.arguments[1:]), fields=call.keywords)
        if name in ("builtins.__import__", "importlib.import_module", "importlib.__import__"):
            if texts and texts[0]:
                self.see(call.scope.file, call.node.lineno, "import", texts[0], "hidden")
                return Value(name=texts[0], hidden=True)
            return Value(hidden=True)
        if name in ("builtins.vars", "builtins.globals", "builtins.locals"):
            base = call.arguments[0] if call.arguments else Value(name="builtins")
            return base.like(kind="names") if base.name else Value(hidden=True)
        return None

    def unbound_method(self, name, short, call):
        """`pandas.DataFrame.to_csv(frame, …)`"""
        if not call.arguments or call.arguments[0].level < PERHAPS or not words.UNBOUND.fullmatch(name):
            return None
        return self.method(call.arguments[0], short, Call(call.node, call.scope, call.arguments[1:], call.keywords))

    def handing(self, name, short, call):
        """What calls a function that it is given: as if that were called here. What comes back, others say."""
        if not words.CALLERS.fullmatch(name):
            return None
        given = [*call.arguments, *call.keywords.values()]
        functions = [one for one in given if one.code or one.name or one.bound or one.kind == "caller"]
        handed = [one for one in given if not any(one is other for other in functions)]
        if short in words.EACH:
            handed = [self.element(one, call.node) for one in handed]
        else:
            handed = [part for one in handed for part in (one.parts or (one,))]
        for one in functions if any(other.level >= PERHAPS for other in handed) else ():
            again = Call(call.node, call.scope, handed * (2 if short == "reduce" else 1), {})
            self.own(one, None, again) if one.code else self.invoke(one, again)
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
        for value in (*call.arguments, *(one for key, one in call.keywords.items() if key != "file")):
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
                if value.kind == "model" and value.level and words.KEEPING.fullmatch(value.made or ""):
                    value = value.like(level=PERHAPS)
                self.reveal(call.node, call.scope, value, "output")
            return Value()
        if name in words.COPIES and len(call.arguments) > 1:
            source, target = call.arguments[:2]
            for one in (source, target):
                self.looks(one, call, "read")
            if any(one.place == "data" or one.level >= PERHAPS for one in (source, target)):
                self.reveal(call.node, call.scope, Value(ROWS, origin=call.node.lineno), "output")
            self.write(call, target)
            return Value()
        return None

    def write(self, call, target):
        """A file is written: where, and under what name."""
        if target is None or target.kind not in ("path", "text", "sink", "input") or target.kind == "sink":
            return
        place = target.place or (place_of(target.text) if target.text else None)
        if place == "outside" and target.text and self.within(target.text, call.scope.file):
            place = "job"
        if target.key is not None:  # the file's own name is made of data
            self.reveal(call.node, call.scope, target.key, "name")
        if place == "output":
            text = target.text if target.place else os.path.relpath(target.text, "/output")
            self.see(call.scope.file, call.node.lineno, "write", text or "", "output")
        elif place in ("outside", "system", "job", "data") and target.text:
            self.see(call.scope.file, call.node.lineno, "write", target.text, place)

    def looks(self, target, call, how):
        """A path of the machine's that is named outright."""
        if target.text is None or target.kind not in ("text", "path"):
            return
        place = target.place or place_of(target.text)
        if place == "outside" and self.within(target.text, call.scope.file):
            return
        if place in ("outside", "system", "network"):
            self.see(call.scope.file, call.node.lineno, "file", target.text[:200], f"{place} {how}")

    @staticmethod
    def within(text, file):
        """Whether a path leads into the job from the folder of the file where it stands: notebooks run there."""
        found = os.path.normpath(os.path.join("/job", os.path.dirname(file), text))
        return not text.startswith(("/", "~")) and found.startswith("/job/")

    def pathlike(self, name, short, call):
        if words.OPENS.fullmatch(name):
            call.made = name
            return self.opened(call.arguments[0] if call.arguments else Value(), self.mode(call, 1), call)
        if words.FILES.fullmatch(name) and call.arguments:
            self.looks(call.arguments[0], call, "read")
            first = call.arguments[0]
            if first.key is not None and short in ("mkdir", "makedirs", "mkfifo"):
                self.reveal(call.node, call.scope, first.key, "name")
            if short in ("glob", "iglob", "listdir", "walk", "scandir") and first.place:
                return Value(kind="path", place=first.place)
            if name == "os.open" and first.place in ("data", "output"):
                return self.contents(first, call, "lines") if first.place == "data" else Value(kind="sink", place="output")
            return Value(first.level, "lines", origin=first.origin) if first.level >= PERHAPS else Value()
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
            if target.place == "data":
                return self.contents(target, call, "lines")
            return Value(kind="sink", place=target.place, made=call.made)
        self.looks(target, call, "read")
        return self.contents(target, call, "lines")

    def contents(self, target, call, kind):
        """What reading a path gives."""
        line = call.node.lineno
        if target.level >= PERHAPS or target.place == "data":
            return Value(max(target.level, ROWS), kind, origin=target.origin or line, place=None)
        if target.place == "tmp" and self.told.get("datasets"):
            return Value(PERHAPS, kind, origin=line)
        own = target.place == "job" and (target.text is None or os.path.normpath(target.text) in self.told["files"])
        if own or target.place in ("system", "output", "outside", "network"):
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
        if name in ("numpy.memmap", "h5py.File") and self.fills(name, call):
            self.write(call, first)
            return Value(kind="sink", place=first.place)
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

    def fills(self, name, call):
        """Whether a file is opened to be written, array by array."""
        mode = self.mode(call, 1 if name == "h5py.File" else 2)
        return mode != "r" and any(letter in mode for letter in "wax+")

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
        if short == "savefig":
            self.saved(call)
        if short == "subplots":
            axes = Value(kind="plot", made=name)
            return Value(kind="tuple", parts=(axes, axes), made=name)
        return Value(kind="plot", made=name)

    def saved(self, call):
        if call.arguments:
            self.write(call, call.arguments[0])
        self.reveal(call.node, call.scope, join(*call.keywords.values()), "output")  # what stands in a picture's metadata

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
        if name == "builtins.len" and not (given.one and given.kind in ("", "cell")):
            return Value(AGGREGATE, origin=given.origin, number=True)
        return self.summed(given, call, short)

    def summed(self, given, call, short):
        """An aggregate, unless it is one of a single row, or one for each row."""
        if any(one.identity for one in call.arguments) and short in ("crosstab", "pivot_table"):
            return Value(ROWS, "frame", origin=given.origin, identity=True)
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
