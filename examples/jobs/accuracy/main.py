"""How well do thirty features tell malignant from benign? Writes accuracy.json: two numbers."""

import csv
import json
import os
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

DATA = Path(os.environ["GITQUEUE_DATA"], "breast-cancer")
OUTPUT = Path(os.environ["GITQUEUE_OUTPUT"])


def read(name: str) -> dict[str, list[str]]:
    """The values of each patient, by patient_id, which is used for nothing else."""
    with (DATA / name).open(newline="") as file:
        _, *rows = csv.reader(file)
    return {patient: values for patient, *values in rows}


features, labels = read("features.csv"), read("labels.csv")
X = np.array(list(features.values()), dtype=float)
y = np.array([labels[patient][0] for patient in features])

X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=12345)
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X_train, y_train)

accuracy = {"train": round(model.score(X_train, y_train), 4), "test": round(model.score(X_test, y_test), 4)}
(OUTPUT / "accuracy.json").write_text(json.dumps(accuracy) + "\n")
print("accuracy:", accuracy)
