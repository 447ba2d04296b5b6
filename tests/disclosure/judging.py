"""The checks as a site runs them, for tests and benchmarks: our programs, an index of private data, the rules."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from gitqueue.adapters import checks
from gitqueue.model import Output
from gitqueue.rules import disclosure, facts
from gitqueue.rules.disclosure import Collected, Flag
from gitqueue.rules.policy import OutputRules

from .cases import DATA, MOCK, Case, table

IDENTIFIERS = ("patient_id", "surname")


@dataclass(frozen=True)
class Bench:
    """A folder with an index of private data, and what looks at outputs beside it."""

    folder: Path

    def judge(self, cases: Sequence[Case]) -> dict[str, tuple[Flag, ...]]:
        """The flags of each case; the parser looks at all of them at once."""
        top = Path(self.folder, "outputs")
        for number, case in enumerate(cases):
            for name, data in case.files.items():
                path = top / str(number) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        places = [
            {"name": "people/people.csv", "path": str(self.folder / "index"), "mock": str(self.folder / "mock.csv")}
        ]
        ask = {"index": places, "identifiers": IDENTIFIERS, "min_count": 10, "key": str(self.folder / "key")}
        (self.folder / "ask.json").write_text(json.dumps(ask))
        found = facts.parse(self.run("check.py", str(top), str(self.folder / "ask.json")))
        return {case.name: self._flags(found, number, case) for number, case in enumerate(cases)}

    def _flags(self, found: dict[str, facts.Content], number: int, case: Case) -> tuple[Flag, ...]:
        collected = [
            Collected(Output(name, len(data), sha256(data).hexdigest()), found.get(f"{number}/{name}"))
            for name, data in case.files.items()
        ]
        return disclosure.judge(collected, IDENTIFIERS, OutputRules(rounding=case.rounding))

    def run(self, program: str, *words: str) -> bytes:
        """Outside any sandbox: that is tested elsewhere."""
        ready = checks.ready(self.folder)
        argv = (ready.python, "-I", f"{ready.programs}/{program}", *words)
        done = subprocess.run(argv, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


def bench(folder: Path) -> Bench:
    (folder / "data.csv").write_bytes(table(DATA))
    (folder / "mock.csv").write_bytes(table(MOCK))
    (folder / "key").write_text("0123456789abcdef" * 2)
    (folder / "index").mkdir()
    made = Bench(folder)
    made.run("compare.py", str(folder / "data.csv"), str(folder / "index"), str(folder / "key"))
    return made
