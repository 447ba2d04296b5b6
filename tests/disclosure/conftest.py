"""One index and one set of programs for all tests here."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gitqueue.rules.disclosure import Flag

from .cases import Case
from .judging import bench


@pytest.fixture(scope="session")
def judged() -> Iterator[Callable[[Sequence[Case]], dict[str, tuple[Flag, ...]]]]:
    with TemporaryDirectory(prefix="gitqueue-disclosure-") as folder:
        yield bench(Path(folder)).judge
