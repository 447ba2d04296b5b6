"""What is known of a value without running anything: how much of a row it still holds, and what it is."""

import posixpath

CLEAN, AGGREGATE, PERHAPS, ROWS = range(4)
NAMES = ("clean", "aggregate", "perhaps", "rows")
TEXT = 4096  # characters of a constant text that are followed


class Value:
    """One abstract value.

    `level`: what it may hold of the data, from nothing to rows. `kind`: what it is, where that matters. `name`: the
    dotted name of a thing from outside (`os.system`); `made`: that of what returned it. `text`: a known text. `place`:
    where a path leads. `one`: it is of a single row. `identity`: of a column that names people. `extreme`: a minimum,
    maximum or the like. `hidden`: decoded or put together from pieces. `origin`: the line where the data came in.
    `bound`: of an attribute, what it is of and its name, should somebody call it.
    """

    __slots__ = ("level", "kind", "name", "made", "text", "place", "one", "identity", "extreme", "hidden", "origin",
                 "parts", "fields", "key", "item", "code", "begun", "number", "bound")  # fmt: skip

    def __init__(self, level=CLEAN, kind="", **more):
        self.level, self.kind = level, kind
        self.name = self.made = self.text = self.place = self.key = self.item = self.code = self.parts = None
        self.fields, self.origin, self.bound = None, 0, None
        self.one = self.identity = self.extreme = self.hidden = self.begun = self.number = False
        for name, value in more.items():
            setattr(self, name, value)

    def like(self, **more):
        """A copy with some of it changed."""
        other = Value()
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        for name, value in more.items():
            setattr(other, name, value)
        return other

    def absorb(self, other):
        """Take another value in, as a container does."""
        self.level = max(self.level, other.level)
        self.origin = self.origin or other.origin
        self.extreme, self.hidden = self.extreme or other.extreme, self.hidden or other.hidden
        self.identity = self.identity or other.identity


def join(*values):
    """What could be any of these, or is made of all of them."""
    found = Value()
    for value in values:
        if value is not None:
            found.absorb(value)
            found.one = found.one or (value.one and value.level >= PERHAPS)
    return found


def either(one, other):
    """What is one or the other, after two branches."""
    if one is other or other is None:
        return one
    if one is None:
        return other
    strong, weak = (one, other) if one.level >= other.level else (other, one)
    found = strong.like()
    found.absorb(weak)
    if strong.text != weak.text:
        found.text = None
    found.place = strong.place or weak.place
    return found


def container(kind, items, key=None):
    """A list, tuple, set or dict of these values."""
    items = list(items)
    found = Value(kind=kind, item=None, key=key)
    for item in items:
        found.absorb(item)
        found.item = item if found.item is None else either(found.item, item)
    if key is not None:
        found.absorb(key)
    return found


def put(into, item, key=None):
    """Add to a container in place: whoever else holds it sees it, too."""
    into.absorb(item)
    into.item = item if into.item is None else either(into.item, item)
    into.parts = None
    if key is not None:
        into.key = key if into.key is None else either(into.key, key)
        into.absorb(key)


def place_of(text):
    """Where a path leads that stands in the code as it is."""
    if "://" in text[:20]:
        return "network"
    if text.startswith("~"):
        return "outside"
    path = posixpath.normpath(posixpath.join("/job", text))
    for top, place in (("/data", "data"), ("/output", "output"), ("/tmp", "tmp"), ("/dev/shm", "tmp"), ("/job", "job"),
                       ("/dev/null", "tmp"), ("/dev/stdout", "job"), ("/dev/stderr", "job"), ("/env", "system"),
                       ("/opt/gitqueue", "system"), ("/usr", "system")):  # fmt: skip
        if path == top or path.startswith(f"{top}/"):
            return place
    return "outside"


def path(place, text=None):
    return Value(kind="path", place=place, text=text)
