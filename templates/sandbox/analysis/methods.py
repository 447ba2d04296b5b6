"""Methods, by what the value is that they are called of."""

import ast

import words
from values import AGGREGATE, PERHAPS, ROWS, TEXT, Value, container, either, join, path, put


ARCHIVES = ("zipfile.ZipFile", "tarfile.open")


class Methods:
    """Each handler knows some kinds of values, and returns None for all others."""

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
            if name == "savefig":
                self.saved(call)
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
        writes = name.startswith(("write", "save", "dump", "export")) or (name.startswith("to_") and self.writes(name, call))
        if writes and (call.arguments or call.keywords):
            target = call.arguments[0] if call.arguments else Value()
            self.write(call, target)
            self.reveal(call.node, call.scope, join(base, *call.arguments[:2]), "output")
        if name in ("write", "writelines", "writerow", "writerows"):
            return Value()
        if name == "send":  # to a generator: what that does with it is not followed
            self.reveal(call.node, call.scope, given.like(level=min(given.level, PERHAPS)), "print")
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
            if base.key is not None and name in ("mkdir", "touch"):
                self.reveal(call.node, call.scope, base.key, "name")
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
        if not writer or not (name.startswith("write") or (name == "add" and base.made in ARCHIVES)):
            if base.kind == "sink":
                if name.startswith(("create", "add", "put", "append", "require", "save", "dump", "insert")):
                    self.reveal(call.node, call.scope, join(*call.arguments, *call.keywords.values()), "output")
                return Value()
            return None
        if base.made in ARCHIVES and call.arguments[:1] and call.arguments[0].place == "data":
            self.reveal(call.node, call.scope, Value(ROWS, origin=call.node.lineno), "output")
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
        if name == "query" and call.arguments and self.picks_one(call.arguments[0].text):
            return base.like(one=True)
        if name == "tofile" and call.arguments:
            self.write(call, call.arguments[0])
            self.reveal(call.node, call.scope, base, "output")
            return Value()
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
            if name in ("to_numpy", "to_records") and base.kind == "frame":
                return base.like(made="array")
            if base.kind == "groups":
                return Value(base.level, "frame", origin=base.origin)
            single = base.one or base.kind in ("record", "row", "line", "cell")
            kept = base.kind if base.kind in ("frame", "series", "lines", "table", "records") else ""
            made = base.made if base.made == "array" else given.made
            return given.like(kind=kept or ("cell" if single else ""), one=base.one, made=made)
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

    def picks_one(self, text):
        folded = (text or "").casefold()
        return "==" in folded and any(name in folded for name in self.identifiers)

    def grouped(self, base, call):
        by = [*call.arguments[:1], *(one for key, one in call.keywords.items() if key in ("by", "level"))]
        names = {text.casefold() for one in by for text in (one.text, *(part.text for part in one.parts or ())) if text}
        single = any(one.kind in ("index", "name") for one in by) or bool(names & self.identifiers) or any(one.identity for one in by) or base.identity
        return Value(base.level, "groups", origin=base.origin, identity=single, one=base.one)

    def reduced(self, base, name, call):
        by = [one for key, one in call.keywords.items() if key in ("index", "columns", "by")]
        named = {text.casefold() for one in by for text in (one.text, *(part.text for part in one.parts or ())) if text}
        if named & self.identifiers:
            return Value(base.level, "frame", origin=base.origin, identity=True)
        if base.kind in ("rolls", "cell", "row", "columns") or base.one or self.by_row(call):
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
