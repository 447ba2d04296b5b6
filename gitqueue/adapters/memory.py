"""What the runner remembers of the chain between two starts: its verified tip, and the approvals that still wait."""

import json
from collections.abc import Callable, Mapping, Set
from dataclasses import asdict

from gitqueue import refs
from gitqueue.adapters.settings import Site
from gitqueue.errors import OperatorNeeded
from gitqueue.refs import JobId
from gitqueue.rules.chain import Approval, Chain

_NAME = "verified.json"


def keep(site: Site, root: str, chain: Chain) -> None:
    """Write the chain down, if it has changed."""
    rows = [{**asdict(approval), "job": str(approval.job)} for approval in chain.approvals]
    text = json.dumps({"root": root, "tip": chain.tip, "clock": chain.clock, "waiting": rows})
    if site.recall(_NAME) != text:
        site.remember(_NAME, text)


def recall(site: Site, root: str, spent: Set[JobId]) -> Chain:
    """The chain as it was written down, or an empty one to be verified from the root on.

    `spent` are the jobs that were claimed. Raises OperatorNeeded where the file is damaged.
    """
    text = site.recall(_NAME)
    if text is None:
        return Chain()
    try:
        kept = json.loads(text)
        if kept["root"] != root:
            return Chain()
        rows = tuple(Approval(**{**row, "job": refs.job_id(row["job"])}) for row in kept["waiting"])
        return Chain(kept["tip"], kept["clock"], rows, frozenset(spent | {row.job for row in rows}))
    except (ValueError, KeyError, TypeError) as error:
        raise OperatorNeeded(
            f"what the runner remembers ({site.memory(_NAME)}) is damaged: {error}",
            step=f"rm {site.memory(_NAME)}, and the whole chain is verified anew",
        ) from error


class Tips:
    """Where the refs stood that only go forward: results and reviews. What somebody removed or rewound behind the
    gate's back is found by it."""

    _NAME = "tips.json"

    def __init__(self, site: Site) -> None:
        self._site = site
        self._tips: dict[str, str] = json.loads(site.recall(self._NAME) or "{}")
        self._kept = dict(self._tips)

    def all(self) -> dict[str, str]:
        """Ref -> commit, as they were last seen."""
        return dict(self._tips)

    def compare(self, now: Mapping[str, str], descends: Callable[[str, str], bool]) -> dict[str, str]:
        """Ref -> what is wrong, of those that have gone or gone back since they were last seen; the rest is remembered.
        `now`: ref -> commit, all of them."""
        wrong = {name: tip for name, tip in self._tips.items() if not _forward(tip, now.get(name), descends)}
        self._tips = {**now, **wrong}
        return {name: self._said(name, tip, now.get(name)) for name, tip in sorted(wrong.items())}

    def follow(self, name: str, tip: str, descends: Callable[[str, str], bool]) -> None:
        """Remember how far one ref has gone on."""
        if _forward(self._tips.get(name, tip), tip, descends):
            self._tips[name] = tip

    def forget(self, name: str) -> None:
        """A ref that went as it should: gc closed its job."""
        self._tips.pop(name, None)

    def keep(self) -> None:
        """Write them down, if they have changed."""
        if self._tips != self._kept:
            self._site.remember(self._NAME, json.dumps(self._tips, sort_keys=True))
            self._kept = dict(self._tips)

    def _said(self, name: str, tip: str, there: str | None) -> str:
        what = f"was moved back to {there[:12]}" if there else "has gone"
        back = f"git -C {self._site.repository} update-ref {name} {tip}"
        return f"{name} {what}; it stood at {tip[:12]}: put it back with {back}"


def _forward(old: str, new: str | None, descends: Callable[[str, str], bool]) -> bool:
    return new is not None and (new == old or descends(new, old))


def mending(site: Site, chain: Chain, tip: str | None) -> str:
    """The line that puts `approved` back to where the chain holds."""
    if chain.tip is None:
        return "nothing of this chain can be believed: restore the site from a backup"
    there = f" {tip}" if tip else ""
    return (
        f"nothing that came after {chain.tip[:12]} runs; put approved back with"
        f" git -C {site.repository} update-ref refs/heads/approved {chain.tip}{there}"
    )
