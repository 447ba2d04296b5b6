"""Write the real data of the example: features.csv and labels.csv, 569 patients.

They are the Breast Cancer Wisconsin (Diagnostic) data (Wolberg, Street and Mangasarian, 1995), which scikit-learn
ships. In the story they are private: they lie beside the runner, never in git.

    python make_data.py FOLDER        needs scikit-learn, as in ../jobs/accuracy/requirements.txt
"""

import csv
import sys
from pathlib import Path

from sklearn.datasets import load_breast_cancer


def snake_case(name: str) -> str:
    """`mean concave points` as `mean_concave_points`."""
    return name.replace(" ", "_")


def write(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)


def main(folder: Path) -> None:
    data = load_breast_cancer()
    # scikit-learn leaves the hospital's numbers out, so these are made up, in the order of the rows.
    patients = [f"P{row:04d}" for row in range(1, len(data.target) + 1)]
    features = [[patient, *values] for patient, values in zip(patients, data.data.tolist(), strict=True)]
    labels = [[patient, str(data.target_names[label])] for patient, label in zip(patients, data.target, strict=True)]
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "features.csv", ["patient_id", *map(snake_case, data.feature_names)], features)
    write(folder / "labels.csv", ["patient_id", "diagnosis"], labels)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
