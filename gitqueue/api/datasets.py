"""Datasets and their assets: mock data for everybody, real data for an owner at the site."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

from gitqueue.adapters import data
from gitqueue.adapters.files import lay_out, write_atomic
from gitqueue.adapters.settings import Site as Premises
from gitqueue.api import show, values
from gitqueue.api.collections import Named
from gitqueue.api.desk import Desk
from gitqueue.errors import Mistake, NotAllowed, OperatorNeeded
from gitqueue.rules import policy
from gitqueue.rules.tree import escape


class Asset:
    """One table, array or file of a dataset."""

    def __init__(self, desk: Desk, dataset: str, name: str, spec: policy.Asset) -> None:
        self._desk = desk
        self.dataset = dataset
        self.name = name
        self.description = spec.description
        self._mock = spec.mock

    @property
    def uid(self) -> str:
        """`dataset/asset`, as job.yaml has it."""
        return f"{self.dataset}/{self.name}"

    @property
    def is_table(self) -> bool:
        return self._mock.endswith(".csv")

    @cached_property
    def mock(self) -> Any:
        """The mock data, by type: a frame, an array, plain values, or a path. Public to everybody of the site."""
        return self.read_mock()

    def read_mock(self) -> Any:
        queue = self._desk.queue
        entry = queue.objects.at(queue.objects.commit(queue.approved).tree, f"datasets/{self.dataset}/{self._mock}")
        if entry is None:
            raise NotAllowed(f"the mock data of {self.uid} are not on approved")
        folder = self._desk.clone.git_dir.absolute() / "gitqueue" / "mock" / entry.id
        path = folder / Path(self._mock).name
        if not path.exists():
            inner = queue.objects.files(entry.id) if entry.is_folder else [(path.name, entry)]
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lay_out(path if entry.is_folder else folder, ((n, False, queue.objects.blob(e.id)) for n, e in inner))
        return values.load(path)

    @cached_property
    def data(self) -> Any:
        """The real data, for an owner at the site itself. Raises NotAllowed for everybody else."""
        return values.load(self.path)

    @property
    def path(self) -> Path:
        """Where the real data lie, for an owner at the site itself."""
        here = self._desk.here
        if here is None:
            raise NotAllowed(
                f"the real data of {self.uid} never leave the site", step=f"write your code against {self.name}.mock"
            )
        self._desk.must_own("the real data")
        bound = here.settings().data.get(self.dataset, {})
        if self.name not in bound:
            step = f"gitqueue dataset bind {self.dataset} {self.name}=PATH, at the site"
            raise OperatorNeeded(f"nobody has said where the real data of {self.uid} lie", step=step)
        return Path(bound[self.name])

    def __repr__(self) -> str:
        return f"asset {self.uid}{f': {escape(self.description)}' if self.description else ''}"


class Dataset:
    """One dataset of the catalogue."""

    def __init__(self, desk: Desk, name: str, spec: policy.Dataset) -> None:
        self.name = name
        self.title = spec.title
        self.description = spec.description
        self.identifiers = list(spec.identifiers)
        assets = [Asset(desk, name, asset, one) for asset, one in spec.assets.items()]
        self.assets: Assets = Assets(assets, lambda asset: (asset.name,))

    def __getitem__(self, name: str) -> Asset:
        return self.assets[name]

    def __iter__(self) -> Iterator[Asset]:
        return iter(self.assets)

    def _repr_html_(self) -> str:
        facts = {"description": self.description, "never leave": ", ".join(self.identifiers)}
        return show.card(self.title or self.name, self.name, facts, self.assets._grid())

    def __repr__(self) -> str:
        return f"dataset {self.name}: {escape(self.title)} ({', '.join(asset.name for asset in self.assets)})"


class NewAsset(TypedDict):
    """An asset to publish: each a frame, an array, plain values, or a file's path."""

    data: Any
    mock: Any


@dataclass(frozen=True, slots=True)
class Held:
    """An asset's files: the mock's name and bytes; where the real data lie, or what is to be written of them."""

    mock: tuple[str, bytes]
    data: Path | bytes


def files(name: str, asset: NewAsset) -> Held:
    """Raises Mistake where mock and real data are not of one type: code for the one would not read the other."""
    (kind, mock), real = values.content(asset["mock"]), asset["data"]
    path = Path(real).expanduser().absolute() if isinstance(real, str | Path) else None
    real_kind, kept = (path.suffix, path) if path else values.content(real)
    if real_kind != kind:
        raise Mistake(
            f"{name}: its mock is {kind or 'no type'}, its real data {real_kind or 'no type'}", step="give both alike"
        )
    return Held((f"{name}{kind}", mock), kept)


def keep(site: Premises, dataset: str, held: Held) -> Path:
    """Where the real data lie; what is no file yet is written beside the site, for its account and for jobs alone."""
    if isinstance(held.data, Path):
        return held.data
    folder = site.path / "data" / dataset
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.parent.chmod(0o700)
    path = folder / held.mock[0]
    write_atomic(path, held.data)
    user = site.settings().sandbox.user
    if user and os.geteuid() == 0:
        data.open_to(path, user)
    return path


class Assets(Named[Asset]):
    kind = "asset"

    def _repr_html_(self) -> str:
        return show.table(self.kind, self._grid())

    def _grid(self) -> show.Grid:
        return show.Grid(("asset", "description"), [(one.uid, one.description) for one in self])


class Datasets(Named[Dataset]):
    kind = "dataset"

    def _repr_html_(self) -> str:
        rows = [(one.name, one.title, one.description, ", ".join(asset.name for asset in one.assets)) for one in self]
        return show.table(self.kind, show.Grid(("dataset", "title", "description", "assets"), rows))


def of(desk: Desk) -> Datasets:
    known: Mapping[str, policy.Dataset] = desk.view.datasets
    return Datasets([Dataset(desk, name, spec) for name, spec in known.items()], lambda one: (one.name, one.title))
