"""Files that a job holds, or left, as values in Python."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from gitqueue.api import show
from gitqueue.rules.tree import escape
from gitqueue.steps import collect, look


class Files(Mapping[str, bytes]):
    """Files by their names; `text` for what is text, `save` to have them in a folder."""

    def __init__(self, held: Mapping[str, bytes]) -> None:
        self._held = dict(held)

    def __getitem__(self, name: str) -> bytes:
        return self._held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return "\n".join(f"{escape(name)}  {len(data):,} bytes" for name, data in self._held.items()) or "no files"

    def _repr_html_(self) -> str:
        return show.files(self._held)

    def text(self, name: str) -> str:
        """A file as text; what is no UTF-8 shows as replacement characters."""
        return self._held[name].decode("utf-8", "replace")

    def save(self, folder: str | Path) -> list[Path]:
        """Write them below a folder, none over a file that is there; their paths."""
        return collect.write(self._held, Path(folder))


class Outputs(Files):
    """What a run left in the vault; `flags`: what speaks against letting it go, a sentence each."""

    def __init__(self, left: look.Left) -> None:
        super().__init__(left.files)
        self.flags = [f"{flag['file']}: {flag['reason']}" for flag in left.flags]

    def __repr__(self) -> str:
        return "\n".join([*(f"flag: {escape(flag)}" for flag in self.flags), super().__repr__()])

    def _repr_html_(self) -> str:
        return show.files(self._held, self.flags)
