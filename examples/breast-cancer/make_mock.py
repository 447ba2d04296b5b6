"""Write mock data of the same shape as the real data: features.csv and labels.csv, 569 rows.

The mock is public to everybody of the site, so nothing in it comes from a patient. It is drawn from what anybody may
know: the names of the columns, the number of rows, and the ranges declared below, which are those printed in the data
set's published description, rounded outwards. Every value is drawn evenly from its range, by itself, and the diagnosis
is a toss of a coin. So code that runs here runs on the real data, and a model learns nothing here (accuracy on its test
set: around one half). The seed is fixed: the same files come out each time, anywhere.

    python make_mock.py FOLDER        needs nothing but Python
"""

import csv
import random
import sys
from pathlib import Path

SEED = 20260101
ROWS = 569
DIAGNOSES = ("benign", "malignant")

# feature: decimals written, then lowest and highest of its mean, its standard error and its "worst" value
RANGES: dict[str, tuple[int, tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "radius": (2, (6, 30), (0.1, 3), (7, 38)),
    "texture": (2, (9, 40), (0.3, 5), (12, 50)),
    "perimeter": (2, (40, 190), (0.7, 22), (50, 255)),
    "area": (1, (140, 2600), (6, 550), (180, 4300)),
    "smoothness": (4, (0.05, 0.17), (0.001, 0.04), (0.07, 0.23)),
    "compactness": (4, (0.01, 0.35), (0.002, 0.14), (0.02, 1.1)),
    "concavity": (4, (0, 0.45), (0, 0.4), (0, 1.3)),
    "concave_points": (4, (0, 0.21), (0, 0.06), (0, 0.3)),
    "symmetry": (4, (0.1, 0.31), (0.007, 0.08), (0.15, 0.67)),
    "fractal_dimension": (4, (0.04, 0.1), (0.0008, 0.03), (0.05, 0.21)),
}


def columns() -> list[tuple[str, int, tuple[float, float]]]:
    """Name, decimals and range of each column, in the order of the real file."""
    return [
        (name.format(feature), decimals, ranges[place])
        for place, name in enumerate(("mean_{}", "{}_error", "worst_{}"))
        for feature, (decimals, *ranges) in RANGES.items()
    ]


def write(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)


def main(folder: Path) -> None:
    draw = random.Random(SEED)
    patients = [f"M{row:04d}" for row in range(1, ROWS + 1)]  # M: nobody can take them for patients
    features = [
        [patient, *(round(draw.uniform(*limits), decimals) for _, decimals, limits in columns())]
        for patient in patients
    ]
    labels = [[patient, draw.choice(DIAGNOSES)] for patient in patients]
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "features.csv", ["patient_id", *(name for name, _, _ in columns())], features)
    write(folder / "labels.csv", ["patient_id", "diagnosis"], labels)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
