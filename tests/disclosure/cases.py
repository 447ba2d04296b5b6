"""Outputs that people write: honest ones, and ones that leak, each with the checks that must see it.

The data are made up, by a fixed seed; `DATA` are the private ones, `MOCK` what everybody may see. What is known not to
be seen stands in `UNSEEN`, and in docs/disclosure.md.
"""

import base64
import csv
import gzip
import io
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev

HEADER = ("patient_id", "surname", "age", "sex", "region", "diagnosis", "radius", "admitted")
REGIONS = ("north", "south", "east", "west", "islands")
SYLLABLES = ("ka", "mor", "lin", "tes", "vo", "ber", "sha", "dun", "ri", "pel", "gro", "ny")
Row = tuple[str, ...]


def people(seed: int, count: int, letter: str) -> tuple[Row, ...]:
    """Rows of one person each."""
    luck = random.Random(seed)
    weights = (30, 30, 20, 18, 2)
    return tuple(
        (
            f"{letter}{luck.randrange(10**6, 10**7)}",
            "".join(luck.choices(SYLLABLES, k=4)) + luck.choice("abcdef") + ("q" if letter == "M" else ""),
            str(min(97, max(18, round(luck.gauss(55, 15))))),
            luck.choice("FM"),
            luck.choices(REGIONS, weights)[0],
            luck.choices(("benign", "malignant"), (63, 37))[0],
            f"{luck.gauss(14, 3.5):.3f}",
            f"20{luck.randrange(10, 24)}-{luck.randrange(1, 13):02d}-{luck.randrange(1, 29):02d}",
        )
        for _ in range(count)
    )


DATA, MOCK = people(1, 800, "P"), people(2, 200, "M")


def table(rows: Sequence[Sequence[object]], header: Sequence[str] = HEADER, delimiter: str = ",") -> bytes:
    out = io.StringIO()
    write = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    write.writerows([header, *rows])
    return out.getvalue().encode()


@dataclass(frozen=True)
class Case:
    """Outputs of one run; `seen`: checks of which each must flag something (none: it may go)."""

    name: str
    files: Mapping[str, bytes]
    seen: frozenset[str] = frozenset()
    alarms: frozenset[str] = field(default=frozenset())  # false ones that we know of, and explain
    rounding: int = 1


def column(name: str) -> list[str]:
    return [row[HEADER.index(name)] for row in DATA]


def where(**wanted: str) -> list[Row]:
    return [row for row in DATA if all(row[HEADER.index(name)] == value for name, value in wanted.items())]


def counts(*names: str) -> "Counter[Row]":
    return Counter(tuple(row[HEADER.index(name)] for name in names) for row in DATA)


def number(rows: Sequence[Row], name: str) -> list[float]:
    return [float(row[HEADER.index(name)]) for row in rows]


def to5(count: int) -> str:
    return "<10" if count < 10 else str(5 * round(count / 5))


# --- honest


def means() -> bytes:
    groups = [(sex, where(sex=sex)) for sex in "FM"]
    rows = [
        (sex, len(rows), f"{fmean(number(rows, 'radius')):.2f}", f"{stdev(number(rows, 'radius')):.2f}")
        for sex, rows in groups
    ]
    return table(rows, ("sex", "patients", "mean_radius", "sd_radius"))


def crosstab(cell: Callable[[int], object], total: bool = False, regions: Sequence[str] = REGIONS) -> bytes:
    found = counts("region", "diagnosis")
    kinds = ("benign", "malignant")
    rows: list[list[object]] = [[region, *(cell(found[region, kind]) for kind in kinds)] for region in regions]
    if total:
        for row, region in zip(rows, regions, strict=True):
            row.append(sum(found[region, kind] for kind in kinds))
        sums = [sum(found[region, kind] for region in regions) for kind in kinds]
        rows.append(["total", *sums, sum(sums)])
    return table(rows, ("region", *kinds, *(["total"] if total else [])))


def percentiles() -> bytes:
    values = sorted(number(DATA, "radius"))
    rows = [(f"{p}%", f"{values[len(values) * p // 100]:.1f}") for p in (5, 25, 50, 75, 95)]
    return table(rows, ("percentile", "radius"))


def bands() -> bytes:
    found = Counter(min(80, max(20, int(age) // 10 * 10)) for age in column("age"))
    return table([(f"{low}-{low + 9}", to5(found[low])) for low in sorted(found)], ("age_band", "count"))


def regression() -> bytes:
    text = (
        "                 OLS Regression Results\n"
        "Dep. Variable:  radius        R-squared:   0.412\n"
        "No. Observations:  800        AIC:         3021.\n\n"
        "              coef    std err      t      P>|t|\n"
        "Intercept   11.203      0.412   27.2     0.000\n"
        "age          0.051      0.007    7.1     0.000\n"
    )
    return text.encode()


SAFE = f"""# Radius by sex

Of {len(DATA)} patients, {to5(len(where(sex="F")))} were women. Groups of fewer than 10 were left out.

| sex | n | mean |
| --- | --- | --- |
| F | {to5(len(where(sex="F")))} | 14.0 |
| M | {to5(len(where(sex="M")))} | 14.1 |
"""

HONEST = (
    Case("means of two groups", {"means.csv": means()}),
    Case("counts rounded to 5, small ones suppressed", {"regions.csv": crosstab(to5)}),
    Case("a total of rounded counts", {"regions.csv": crosstab(to5) + f"total,{505},{295}\n".encode()}),
    Case("percentiles", {"percentiles.csv": percentiles()}),
    Case("age bands", {"bands.csv": bands()}),
    Case(
        "model scores as JSON", {"accuracy.json": b'{"train": 0.9873, "test": 0.9441, "n_train": 600, "n_test": 200}'}
    ),
    Case("what the model was told", {"model.json": b'{"max_depth": 5, "n_estimators": 8, "min_samples_leaf": 3}'}),
    Case(
        "a nested summary", {"s.json": b'{"radius": {"count": 800, "mean": 14.1}, "age": {"count": 800, "mean": 55.2}}'}
    ),
    Case("a regression as text", {"ols.txt": regression()}),
    Case("a short report", {"report.md": SAFE.encode()}),
    Case("counts a year", {"years.csv": table([(2010 + n, 40 + 3 * n) for n in range(14)], ("year", "admissions"))}),
    Case("semicolons and commas", {"m.csv": b"sex;patients;mean\nF;410;14,02\nM;390;14,11\n"}),
    Case("tabs", {"m.tsv": b"sex\tpatients\tmean\nF\t410\t14.02\nM\t390\t14.11\n"}),
    Case("R prints it", {"r.txt": b"[1] 14.05\n  sex patients mean\n1   F      410 14.02\n2   M      390 14.11\n"}),
    Case("a line of a log", {"note.txt": b"The model converged after 7 iterations of 3 epochs.\n"}),
    Case(
        "a curve of 101 points",
        {"curve.csv": table([(f"{n / 100:.2f}", f"{n * n / 10000:.4f}") for n in range(101)], ("fpr", "tpr"))},
        alarms=frozenset({"near_unique"}),
    ),
    Case(
        "a classifier's report",
        {
            "r.txt": b"              precision    recall  f1-score   support\n\n"
            b"      benign       0.95      0.97      0.96       108\n   malignant       0.94      0.92      0.93        63\n\n"
            b"    accuracy                           0.95       171\n   macro avg       0.95      0.94      0.94       171\n"
        },
    ),
    Case(
        "the first table of a paper",
        {
            "t.csv": b"What,F (n=410),M (n=390)\nAge mean (SD),55.1 (14.9),54.8 (15.2)\nIll n (%),150 (36.6%),148 (37.9%)\n"
        },
    ),
    Case("classes as columns", {"c.csv": b"region,0,1,2\nnorth,120,130,55\nsouth,110,105,60\n"}),
    Case("years as columns", {"c.csv": b"region,2019,2020,2021\nnorth,120,130,155\nsouth,110,105,160\n"}),
    Case("a suppressed row", {"b.csv": b"region,n,mean\nnorth,240,14.1\nsouth,245,14.2\nislands,<10,-\n"}),
    Case(
        "a numbered list",
        {"r.md": b"# Found\n\n1. Means differ by 0.1 mm (14.1 and 14.0).\n2. No group differs by 0.5 mm or more.\n"},
    ),
    Case(
        "ids of genes, and places on them",
        {
            "g.csv": table(
                [(f"rs{n * 7919 + 100000}", f"chr{n % 22 + 1}:{n * 104729}", f"{0.9**n:.2e}") for n in range(40)],
                ("snp", "at", "p"),
            )
        },
    ),
    Case(
        "times and versions",
        {"v.txt": b"started 2026-11-25T22:30:01Z\nwith numpy 2.1.3, scikit-learn 1.5.2\nmodel run_20261125T223001\n"},
    ),
    Case("one number", {"answer.txt": b"14.05\n"}),
    Case("a whole number that may count people", {"answer.txt": b"7\n"}, alarms=frozenset({"small_counts"})),
    Case("counts as policy has them rounded", {"regions.csv": crosstab(to5), "report.md": SAFE.encode()}, rounding=5),
    Case("the same counts twice", {"a.csv": means(), "b.csv": means()}),
    Case(
        "shares of large groups", {"s.csv": table([("F", 410, 36.5), ("M", 390, 38.1)], ("sex", "n", "pct_malignant"))}
    ),
)

# --- leaking

_luck = random.Random(3)
SHUFFLED = _luck.sample(DATA, 60)
ONE = DATA[17]
OLDEST = max(DATA, key=lambda row: int(row[2]))
WIDEST = max(DATA, key=lambda row: float(row[6]))
WEST = counts("region", "diagnosis")
ISLANDS = sum(WEST["islands", kind] for kind in ("benign", "malignant"))


def picked(*names: str, rows: Sequence[Row] = SHUFFLED) -> list[tuple[str, ...]]:
    return [tuple(row[HEADER.index(name)] for name in names) for row in rows]


def see(*checks: str) -> frozenset[str]:
    return frozenset(checks)


DUMP = table(SHUFFLED)
LEAKING = (
    Case("rows as they are", {"rows.csv": DUMP}, see("identifiers", "private_values", "private_rows", "near_unique")),
    Case(
        "rows, columns in another order and renamed",
        {"r.csv": table(picked("radius", "sex", "age", "admitted"), ("a", "b", "c", "d"))},
        see("private_values", "private_rows"),
    ),
    Case(
        "numbers alone, sorted each by itself",
        {"r.csv": table([[value] for value in sorted(column("radius"))[:80]], ("x",))},
        see("private_values"),
    ),
    Case("rows without a head", {"r.csv": b"\n".join(DUMP.splitlines()[1:])}, see("private_values", "private_rows")),
    Case("rows by semicolons", {"r.csv": table(SHUFFLED, delimiter=";")}, see("identifiers", "private_rows")),
    Case("rows by pipes, as text", {"r.txt": table(SHUFFLED, delimiter="|")}, see("identifiers", "private_rows")),
    Case(
        "rows turned on their side",
        {"r.csv": table([list(one) for one in zip(*picked("radius", "age", "admitted"), strict=True)], [f"c{n}" for n in range(60)])},
        see("private_values"),
    ),
    Case(
        "rows as JSON records",
        {"r.json": json.dumps([dict(zip(HEADER, row, strict=True)) for row in SHUFFLED]).encode()},
        see("identifiers", "private_values", "private_rows"),
    ),
    Case(
        "rows as JSON lines named .txt",
        {"r.txt": "\n".join(json.dumps(row) for row in picked("radius", "age", "sex")).encode()},
        see("private_values", "private_rows"),
    ),
    Case(
        "rows deep in JSON",
        {"r.json": json.dumps({"a": [{"b": {"c": picked("radius", "age", "sex")}}]}).encode()},
        see("private_values"),
    ),
    Case(
        "rows in a Markdown table",
        {"r.md": "\n".join(["| r | a |", "| --- | --- |", *(f"| {r} | {a} |" for r, a in picked("radius", "age"))]).encode()},
        see("private_values"),
    ),
    Case(
        "rows as a program prints them",
        {"r.txt": "\n".join(["  radius age", *(f"{n} {r} {a}" for n, (r, a) in enumerate(picked("radius", "age")))]).encode()},
        see("private_values"),
    ),
    Case(
        "numbers written otherwise",
        {"r.csv": table([(f"{float(value):.6e}",) for (value,) in picked("radius")], ("x",))},
        see("private_values"),
    ),
    Case("rows in UTF-16", {"r.csv": DUMP.decode().encode("utf-16")}, see("unread")),
    Case("rows zipped", {"r.csv": gzip.compress(DUMP, mtime=0)}, see("unread", "lying_type")),
    Case("rows in base64", {"r.txt": base64.b64encode(DUMP)}, see("high_entropy")),
    Case("rows in base64 by lines", {"r.txt": base64.encodebytes(DUMP)}, see("high_entropy")),
    Case("rows in hex, in JSON", {"r.json": json.dumps({"model": DUMP.hex()}).encode()}, see("high_entropy")),
    Case("a picture that is a table", {"chart.png": DUMP}, see("lying_type", "identifiers")),
    Case("a page", {"r.html": b"<html><body>" + DUMP + b"</body></html>"}, see("unread")),
    Case("ids in sentences", {"r.txt": f"The first was {ONE[0]}, who did well.\n".encode()}, see("private_values")),
    Case("a name in a sentence", {"r.md": f"# Note\n\nAsk {ONE[1].title()} about it.\n".encode()}, see("private_values")),
    Case("ids in a cell's sentence", {"r.csv": f"sex,note\nF,without {ONE[0]} it holds\nM,fine\n".encode()}, see("private_values")),
    Case("an id as a key", {"r.json": json.dumps({ONE[0]: 1, "mean": 14.1}).encode()}, see("private_values")),
    Case("the id column renamed", {"r.csv": table(picked("patient_id")[:3], ("label",))}, see("private_values")),
    Case("one small count", {"r.csv": crosstab(int)}, see("small_counts")),
    Case("a small count in JSON", {"r.json": b'{"F": 412, "M": 385, "X": 3}'}, see("small_counts")),
    Case("a small count in a sentence", {"r.txt": b"Of these, only 4 patients had died.\n"}, see("small_counts")),
    Case("a small count in Markdown", {"r.md": b"| sex | n |\n| --- | --- |\n| F | 412 |\n| X | 3 |\n"}, see("small_counts")),
    Case("exact counts where policy has them rounded", {"sex.csv": table([("F", 412), ("M", 388)], ("sex", "n"))}, see("unrounded"), rounding=5),
    Case("an exact count in a sentence", {"r.txt": b"We saw 803 patients.\n"}, see("unrounded"), rounding=5),
    Case("a percentage of few", {"r.csv": table([("F", 40, 10.0), ("M", 390, 38.1)], ("sex", "n", "pct_dead"))}, see("small_shares")),
    Case(
        "a suppressed count that a total gives away",
        {"r.csv": crosstab(lambda n: n if n >= 10 else "<10", total=True, regions=("north", "south", "islands"))},
        see("given_away"),
    ),
    Case(
        "a row that a total gives away",
        {"r.csv": table([("north", 240), ("south", 243), ("all", 487)], ("region", "patients"))},
        see("given_away"),
    ),
    Case(
        "counts by difference, in two files",
        {"all.csv": table([("F", 412), ("M", 388)], ("sex", "n")), "some.csv": table([("F", 409), ("M", 388)], ("sex", "n"))},
        see("differences"),
    ),
    Case("a maximum", {"r.csv": table([("age", 55.2, OLDEST[2])], ("what", "mean", "max"))}, see("extremes")),
    Case("describe() of pandas", {"r.csv": table([("count", 800), ("mean", 14.05), ("min", 3.1), ("max", 25.2)], ("", "radius"))}, see("extremes")),
    Case("one person's value as a maximum by another name", {"r.json": json.dumps({"top": float(WIDEST[6]), "mean": 14.05}).encode()}, see("extremes")),
    Case("a group of one", {"r.csv": table(sorted({(row[2], row[4], f"{20 + n / 7:.1f}") for n, row in enumerate(DATA)})[:45], ("age", "region", "mean"))}, see("private_rows")),
    Case("the same words again and again", {"r.csv": table(picked("sex", "diagnosis"), ("a", "b"))}, see("repeated_rows")),
    Case("too many rows", {"r.csv": table([(n, n % 7 + 20) for n in range(6000)], ("k", "n"))}, see("rows")),
)  # fmt: skip

IDS = [row[0] for row in SHUFFLED]


def lines(text: str, width: int) -> bytes:
    return "\n".join(text[at : at + width] for at in range(0, len(text), width)).encode()


# what somebody tries who has read the checks
LEAKING += (
    Case("ids with characters between that nobody sees", {"r.csv": table([("\u200b".join(one),) for one in IDS[:9]], ("x",))}, see("private_values")),
    Case("the same, escaped in JSON", {"r.json": json.dumps(["\u200b".join(one) for one in IDS[:9]]).encode()}, see("private_values")),
    Case("digits of another alphabet", {"r.csv": table([("".join(chr(0xFEE0 + ord(c)) for c in IDS[0]),)], ("x",))}, see("private_values")),
    Case("ids joined by _", {"r.txt": ("_".join(IDS[:3]) + "\n").encode()}, see("private_values")),
    Case("an id inside a key", {"r.json": json.dumps({f"mean_{IDS[0]}": 14.2}).encode()}, see("private_values")),
    Case("an id as a file's name", {f"means-{IDS[0]}.csv": means()}, see("private_values")),
    Case("an id behind a line's end in a cell", {"r.csv": f'sex,mean\nF,"12.5\n{IDS[0]}"\nM,13.5\n'.encode()}, see("private_values")),
    Case("numbers with their units", {"r.csv": table([(f"{r}mm",) for (r,) in picked("radius")[:40]], ("x",))}, see("private_values")),
    Case("numbers with a decimal comma", {"r.csv": table([(r.replace(".", ","), "-") for (r,) in picked("radius")[:20]], ("x", "y"), ";")}, see("private_values")),
    Case("numbers in one string of JSON", {"r.json": json.dumps({"model": ";".join(r for (r,) in picked("radius")[:30])}).encode()}, see("private_values")),
    Case("hex in short lines", {"r.txt": lines(DUMP[:600].hex(), 30)}, see("high_entropy")),
    Case("base64 in short words", {"r.txt": lines(base64.b64encode(DUMP[:600]).decode(), 24).replace(b"\n", b" ")}, see("high_entropy")),
    Case("rows by slashes", {"r.txt": "\n".join("/".join(row) for row in picked("age", "sex", "region", "diagnosis")).encode()}, see("private_rows")),
    Case("rows, each with a cell that seems suppressed", {"r.csv": table([(*row, "-") for row in picked("age", "sex", "region")][:45], ("age", "sex", "region", "n"))}, see("private_rows")),
    Case("an id beyond many columns", {"r.csv": table([[f"{n + 0.5}" for n in range(470)] + [one] for one in IDS[:3]], [f"m{n}" for n in range(471)])}, see("private_values")),
    Case("an id beyond too many columns of one name", {"r.csv": table([[f"{n + 0.5}" for n in range(599)] + [one] for one in IDS[:3]], ["x"] * 600)}, see("unread")),
    Case("a small count after many large ones", {"r.txt": b"\n".join(b"%d patients." % n for n in (*range(400, 1000), 3))}, see("unread")),
    Case("a small count in words", {"r.txt": b"Only three patients had died.\n"}, see("small_counts")),
    Case("a small count with its share", {"r.csv": table([("F", "3 (0.4%)"), ("M", "412 (51%)")], ("sex", "ill"))}, see("small_counts")),
    Case("a small count in bold", {"r.md": b"| sex | patients |\n|---|---|\n| F | **3** |\n| M | **412** |\n"}, see("small_counts")),
    Case("a small count as a power of ten", {"r.csv": table([("F", "3e0"), ("M", "4.12e2")], ("sex", "n"))}, see("small_counts")),
    Case("a small count in a column's name", {"r.csv": table([(12.5, 13.5)], ("F (n=3)", "M (n=412)"))}, see("small_counts")),
    Case("a small count where a head should be", {"r.csv": b"F,3\nM,412\nX,288\n"}, see("small_counts")),
    Case("small counts beside a number that is none", {"r.csv": table([("F", 3), ("M", 412), ("mean", 2.5)], ("sex", "patients"))}, see("small_counts")),
    Case("small counts as ranges of one", {"r.csv": table([("F", "3-3"), ("M", 412)], ("sex", "patients"))}, see("small_counts")),
)  # fmt: skip

ACRO = Path(__file__).with_name("acro")  # what ACRO 1.0.2 wrote of two tables, the first of which it fails
LEAKING += (
    Case("ACRO's own folder", {str(one.relative_to(ACRO)): one.read_bytes() for one in sorted(ACRO.rglob("*.*"))}, see("acro", "small_counts")),
)  # fmt: skip

UNSEEN = (
    Case("ids without their letters", {"r.txt": f"see {IDS[0][1:]} and {IDS[1][1:]}\n".encode()}),
    Case("ids from behind", {"r.csv": table([(one[::-1],) for one in IDS[:9]], ("x",))}),
    Case("an id as the digits of a mean", {"r.json": json.dumps({"mean": float(f"14.{IDS[0][1:]}")}).encode()}),
    Case("the second largest", {"r.csv": table([("top", sorted(number(DATA, "radius"))[-2])], ("what", "value"))}),
    Case("an extreme in a sentence", {"r.txt": f"Ages ran to {OLDEST[2]}.\n".encode()}),
    Case("a group without one person", {"r.csv": table([("all", 800, 14.0512), ("most", 799, 14.0391)], ("who", "n", "mean"))}),
    Case("small counts by another name", {"r.csv": table([("F", 3), ("M", 2)], ("sex", "rank"))}),
    Case("a share without its number", {"r.csv": table([("died", 0.00375)], ("what", "share"))}),
    Case("all of a group", {"r.csv": table([("malignant", 0, 390), ("benign", 410, 0)], ("is", "F", "M"))}),
    Case("values doubled", {"r.csv": table([[f"{2 * float(v):.3f}"] for (v,) in picked("radius")[:40]], ("x",))}),
    Case("values rounded", {"r.csv": table([[f"{float(v):.0f}"] for (v,) in picked("radius")[:40]], ("mm",))}),
    Case("a word for each person", {"r.txt": b"amber birch cedar\n"}),
    Case(
        "dates written otherwise", {"r.csv": table([[v.replace("-", "/")] for (v,) in picked("admitted")[:40]], ("x",))}
    ),
)  # fmt: skip
