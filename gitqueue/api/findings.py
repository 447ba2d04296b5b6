"""What the analysis found in a request's code, as a list in Python."""

from collections.abc import Sequence
from typing import overload

from gitqueue.rules.findings import Finding, Verdict
from gitqueue.rules.tree import escape


class Findings(Sequence[Finding]):
    """What the analysis found in the code, the worst first; `remarks`: what the site's rules, and a look at what was
    asked for, say."""

    def __init__(self, verdict: Verdict | None, remarks: Sequence[str]) -> None:
        self.verdict = verdict
        self.remarks = list(remarks)

    @overload
    def __getitem__(self, key: int) -> Finding: ...
    @overload
    def __getitem__(self, key: slice) -> Sequence[Finding]: ...
    def __getitem__(self, key: int | slice) -> Finding | Sequence[Finding]:
        return self._found[key]

    def __len__(self) -> int:
        return len(self._found)

    @property
    def _found(self) -> tuple[Finding, ...]:
        return self.verdict.findings if self.verdict else ()

    @property
    def recommendation(self) -> str:
        """approve, review or reject, as the analysis has it; an owner decides."""
        return str(self.verdict.recommendation) if self.verdict else "review"

    def __repr__(self) -> str:
        said = [f"the analysis says {self.verdict.summary}, and you decide"] if self.verdict else ["nobody looked"]
        said += [f"{one.grade}: {escape(one.place)}: {one.category}: {escape(one.why)}" for one in self._found]
        return "\n".join([*said, *map(escape, self.remarks)])
