"""From what a job asks for and a site allows to the plan of one run. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from gitqueue.model import Bind, Indexed, Inspection, Plan
from gitqueue.rules import manifest
from gitqueue.rules.manifest import Manifest
from gitqueue.rules.policy import Dataset, Policy

DATA, ENVIRONMENT = "/data", "/env"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run's things lie on the host: the job's files, each (dataset, asset), what calls a function (or none),
    an environment (or none), what looks at outputs, the bell; and the account that it runs as. `mock`: the mock data
    beside real ones, by (dataset, asset)."""

    job: str
    data: Mapping[tuple[str, str], str]
    entry: str | None
    environment: str | None
    inspection: Inspection | None
    wake: str | None
    uid: int | None
    gid: int | None
    mock: Mapping[tuple[str, str], str] = field(default_factory=dict)


def data_target(dataset: str, mock: str) -> str:
    """Where an asset stands inside: under its mock file's name, on mock and on real data alike."""
    return f"{DATA}/{dataset}/{mock.rpartition('/')[2]}"


def plan(asked: Manifest, policy: Policy, datasets: Mapping[str, Dataset], place: Place) -> Plan:
    """The whole plan of one run."""
    path = f"{ENVIRONMENT}/bin:/opt/gitqueue/bin:/usr/local/bin:/usr/bin:/bin"
    return Plan(
        command=(*manifest.command(asked), *_inputs(asked, datasets)),
        job=place.job,
        binds=tuple(_binds(asked, datasets, place)),
        environment=(("PATH", path), ("VIRTUAL_ENV", ENVIRONMENT)) if place.environment else (),
        limits=manifest.granted(asked, policy),
        declared=asked.outputs,
        types=policy.outputs.types,
        uid=place.uid,
        gid=place.gid,
        inspect=_inspection(asked, policy, datasets, place),
        wake=place.wake,
    )


def _inspection(asked: Manifest, policy: Policy, datasets: Mapping[str, Dataset], place: Place) -> Inspection | None:
    """What looks at the outputs, told what it looks for."""
    if place.inspection is None:
        return None
    keys = [(name, asset) for name in asked.datasets for asset in datasets[name].assets]
    indexed = tuple(
        Indexed(
            name="/".join(key),
            target=data_target(key[0], datasets[key[0]].assets[key[1]].mock),
            folder=str(number),
            mock=place.mock.get(key),
        )
        for number, key in enumerate(keys)
    )
    identifiers = tuple(dict.fromkeys(column for name in asked.datasets for column in datasets[name].identifiers))
    return replace(place.inspection, identifiers=identifiers, min_count=policy.outputs.min_count, indexed=indexed)


def _binds(asked: Manifest, datasets: Mapping[str, Dataset], place: Place) -> Iterator[Bind]:
    """Each asset of each dataset that the job names, and what it runs with."""
    for name in asked.datasets:
        for asset, spec in datasets[name].assets.items():
            yield Bind(place.data[name, asset], data_target(name, spec.mock))
    if place.environment:
        yield Bind(place.environment, ENVIRONMENT)
    if place.entry:
        yield Bind(place.entry, manifest.ENTRY)


def _inputs(asked: Manifest, datasets: Mapping[str, Dataset]) -> Iterator[str]:
    """What entry.py is told of a function's parameters: the paths below $GITQUEUE_DATA."""
    for parameter, wanted in asked.inputs.items():
        dataset, _, asset = wanted.partition("/")
        target = data_target(dataset, datasets[dataset].assets[asset].mock)
        yield f"{parameter}={target.removeprefix(f'{DATA}/')}"
