"""From what a job asks for and a site allows to the plan of one run. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from gitqueue.model import Bind, Plan
from gitqueue.rules import manifest
from gitqueue.rules.manifest import Manifest
from gitqueue.rules.policy import Dataset, Policy

DATA, ENVIRONMENT = "/data", "/env"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run's things lie on the host: the job's files, an environment (or none), the inspector, the bell; and
    the account that it runs as."""

    job: str
    environment: str | None
    inspector: str | None
    wake: str | None
    uid: int | None
    gid: int | None


def data_target(dataset: str, mock: str) -> str:
    """Where an asset stands inside: under its mock file's name, on mock and on real data alike."""
    return f"{DATA}/{dataset}/{mock.rpartition('/')[2]}"


def data_binds(
    asked: Manifest, datasets: Mapping[str, Dataset], paths: Mapping[tuple[str, str], str]
) -> tuple[Bind, ...]:
    """Each asset of each dataset that the job names; `paths` says where (dataset, asset) lies on the host."""
    return tuple(
        Bind(paths[name, asset], data_target(name, spec.mock))
        for name in asked.datasets
        for asset, spec in datasets[name].assets.items()
    )


def plan(asked: Manifest, policy: Policy, data: tuple[Bind, ...], place: Place) -> Plan:
    """The whole plan of one run."""
    environment = (Bind(place.environment, ENVIRONMENT),) if place.environment else ()
    path = f"{ENVIRONMENT}/bin:/opt/gitqueue/bin:/usr/local/bin:/usr/bin:/bin"
    return Plan(
        command=manifest.command(asked),
        job=place.job,
        binds=(*data, *environment),
        environment=(("PATH", path), ("VIRTUAL_ENV", ENVIRONMENT)) if environment else (),
        limits=manifest.granted(asked, policy),
        declared=asked.outputs,
        types=policy.outputs.types,
        uid=place.uid,
        gid=place.gid,
        inspect=place.inspector,
        wake=place.wake,
    )
