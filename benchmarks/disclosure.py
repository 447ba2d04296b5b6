"""What the checks on outputs see of the collection in tests/disclosure, and what they cost."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from gitqueue.adapters import checks
from gitqueue.rules.disclosure import NAMES

sys.path.append(str(Path(__file__).parents[1]))

from tests.disclosure.cases import HONEST, LEAKING, UNSEEN
from tests.disclosure.judging import Bench, bench

PRIVATE, OUTPUT = 10_000_000, 1_000_000  # rows
SECONDS, INDEX_SECONDS, MEGABYTES = 5.0, 60.0, 500.0
KEY = "0123456789abcdef" * 2


def hits() -> bool:
    """Print hits and false alarms of each check; whether nothing was missed and no alarm was new."""
    with TemporaryDirectory(prefix="gitqueue-bench-") as folder:
        found = bench(Path(folder)).judge([*HONEST, *LEAKING, *UNSEEN])
    seen = {name: {flag.check for flag in flags} for name, flags in found.items()}
    expected = Counter(check for case in LEAKING for check in case.seen)
    hit = Counter(check for case in LEAKING for check in case.seen & seen[case.name])
    alarms = {check: [case.name for case in HONEST if check in seen[case.name]] for check in NAMES}
    print(f"\n{len(LEAKING)} outputs that leak, {len(HONEST)} honest ones (tests/disclosure/cases.py)")
    print(f"{'check':<18}{'hits':>9}{'false alarms':>15}")
    for check in NAMES:
        of = f"{hit[check]}/{expected[check]}" if expected[check] else "-"
        print(f"{check:<18}{of:>9}{len(alarms[check]):>15}  {'; '.join(alarms[check])}".rstrip())
    print(f"known not to be seen: {'; '.join(case.name for case in UNSEEN)}\n")
    return hit == expected and not any(seen[case.name] - case.alarms for case in HONEST)


@dataclass(frozen=True)
class Cost:
    """Of one program: seconds by the clock, seconds of all cores, megabytes at most."""

    seconds: float
    cpu: float
    megabytes: float

    @property
    def how(self) -> str:
        return f"{self.cpu:.1f} s of all cores, {self.megabytes:.0f} MB"


def costs() -> Iterator[tuple[str, Cost, float]]:
    """What, how much, and the most seconds that it may take; both in a folder on disk."""
    with TemporaryDirectory(prefix="gitqueue-bench-") as name, _large(Path(name)) as made:
        (made.folder / "index").mkdir()
        words = (str(made.folder / "data.csv"), str(made.folder / "index"), str(made.folder / "key"))
        yield f"index of {PRIVATE:,} rows, 5 columns", _cost(made, "compare.py", *words), INDEX_SECONDS
        places = [{"name": "people/data.csv", "path": str(made.folder / "index")}]
        ask = {"index": places, "identifiers": ["patient_id"], "min_count": 10, "key": str(made.folder / "key")}
        (made.folder / "ask.json").write_text(json.dumps(ask))
        told = _cost(made, "check.py", str(made.folder / "outputs"), str(made.folder / "ask.json"))
        yield f"checks of {OUTPUT:,} rows, 5 columns", told, SECONDS


@contextmanager
def _large(folder: Path) -> Iterator[Bench]:
    import duckdb

    (folder / "key").write_text(KEY)
    (folder / "outputs").mkdir()
    row = (
        "'p' || (i * 7919 % 100000007) patient_id, 18 + (random() * 80)::int age, if(random() < 0.5, 'F', 'M') sex,"
        " 'R' || (random() * 12)::int region, round(random() * 20 + 8, 3) radius"
    )
    duckdb.execute(f"copy (select {row} from range({PRIVATE}) t(i)) to '{folder}/data.csv' (header)")
    luck = random.Random(1)
    with open(folder / "outputs" / "big.csv", "w", encoding="ascii") as file:
        file.write("gene,sex,region,n,mean\n")
        for number in range(OUTPUT):
            group = f"{'FM'[number % 2]},R{number % 12}"
            file.write(f"g{number},{group},{100 + number % 900},{luck.random() * 20:.4f}\n")
    yield Bench(folder)


def _cost(made: Bench, program: str, *words: str) -> Cost:
    ready = checks.ready(made.folder)
    argv = (ready.python, "-I", f"{ready.programs}/{program}", *words)
    started = time.monotonic()
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    assert status == 0, f"{program} ended with {status}"
    return Cost(time.monotonic() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
