"""Prints patients' rows and writes them to rows.csv."""

import csv
import os
from pathlib import Path

DATA = Path(os.environ["GITQUEUE_DATA"], "breast-cancer")
OUTPUT = Path(os.environ["GITQUEUE_OUTPUT"])


def read(name):
    with (DATA / name).open(newline="") as file:
        return list(csv.DictReader(file))


features, labels = read("features.csv"), read("labels.csv")
patients = [{**one, **other} for one, other in zip(features, labels, strict=True)]
for patient in patients[:10]:
    print(patient)

with (OUTPUT / "rows.csv").open("w", newline="") as file:
    table = csv.DictWriter(file, fieldnames=list(patients[0]))
    table.writeheader()
    table.writerows(p for p in patients if p["diagnosis"] == "malignant")
