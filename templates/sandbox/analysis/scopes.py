"""Names and their values, where the program is that is followed, and when it is too much."""


class TooMuch(Exception):
    """The program is too large to follow."""


class Scope:
    """Names and their values; `above` is where a name is looked for next."""

    def __init__(self, above=None, file="", module=None):
        self.names, self.above, self.stars = {}, above, []
        self.file, self.module = file, module or self
        self.running = []  # for each loop that we are in: what was summed up in it
        self.returned = []
        self.elsewhere = {}  # names that stand in another scope: global, nonlocal

    def find(self, name):
        scope = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.above
        return None


class Call:
    """One call: its node, where it stands, the values that it is given."""

    def __init__(self, node, scope, arguments, keywords):
        self.node, self.scope, self.arguments, self.keywords = node, scope, arguments, keywords
        self.made = None
