"""Counts and means of a table's numeric columns, as summary.csv. Yours to change."""

import csv
import os
from pathlib import Path
from statistics import fmean

DATA = Path(os.environ["GITQUEUE_DATA"], "{{ dataset }}")  # read-only; mock data until an owner has approved
OUTPUT = Path(os.environ["GITQUEUE_OUTPUT"])  # what you write here, and declare in job.yaml, may come back
FEWEST = 10  # a number about fewer people than this can point at one of them: leave it out


def numbers(values):
    """The values as numbers, or none at all where one of them is something else."""
    try:
        return [float(value) for value in values if value]
    except ValueError:
        return []


table = sorted(DATA.rglob("*.csv"))[0]
with table.open(newline="") as file:
    header, *rows = csv.reader(file)

with (OUTPUT / "summary.csv").open("w", newline="") as file:
    summary = csv.writer(file)
    summary.writerow(["column", "count", "mean"])
    for name, values in zip(header, zip(*rows)):
        found = numbers(values)
        if len(found) >= FEWEST:
            summary.writerow([name, len(found), f"{fmean(found):.3g}"])

print("read", table.name, "with", len(header), "columns")
