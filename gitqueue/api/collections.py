"""Lists of what a site has, by position and by name."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar, overload

from gitqueue.errors import Mistake
from gitqueue.rules.documents import nearest

T = TypeVar("T")
MOST = 500  # that are shown at once


class Named(Sequence[T], Generic[T]):
    """Some things of one kind, each with the names that mean it."""

    kind = "thing"

    def __init__(self, items: Sequence[T], names: Callable[[T], tuple[str, ...]]) -> None:
        self._items = list(items)
        self._names = names

    @overload
    def __getitem__(self, key: int | str) -> T: ...
    @overload
    def __getitem__(self, key: slice) -> Sequence[T]: ...
    def __getitem__(self, key: int | str | slice) -> T | Sequence[T]:
        if isinstance(key, slice):
            return type(self)(self._items[key], self._names)
        return self._items[key] if isinstance(key, int) else self._named(key)

    def _named(self, name: str) -> T:
        found = [item for item in self._items if name in self._names(item)]
        if len(found) == 1:
            return found[0]
        known = [word for item in self._items for word in self._names(item)]
        if found:
            raise Mistake(f"{name!r} could be {' or '.join(self._names(item)[0] for item in found)}")
        raise Mistake(f"there is no {self.kind} {name!r}{nearest(name, known)}", step=f"there are: {self._all()}")

    def _all(self) -> str:
        return ", ".join(self._names(item)[0] for item in self._items[:20]) or "none"

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item: object) -> bool:
        return item in self._items or any(item in self._names(one) for one in self._items)

    def __eq__(self, other: object) -> bool:
        return self._items == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def _ipython_key_completions_(self) -> list[str]:
        return [word for item in self._items for word in self._names(item)]

    def __repr__(self) -> str:
        return self._lines(repr(item) for item in self._items[:MOST])

    def _lines(self, said: Iterable[str]) -> str:
        more = len(self) - MOST
        return "\n".join([*said, *([f"and {more:,} more"] if more > 0 else [])]) or f"no {self.kind}s"
