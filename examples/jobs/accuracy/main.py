"""How well do thirty features tell malignant from benign? Two numbers."""

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
    """Each patient's values. The id joins the two tables, no more."""
    with (DATA / name).open(newline="") as file:
        _, *rows = csv.reader(file)
    return {patient: values for patient, *values in rows}


features, labels = read("features.csv"), read("labels.csv")
X = np.array(list(features.values()), dtype=float)
y = np.array([labels[patient][0] for patient in features])

split = train_test_split(X, y, test_size=0.25, stratify=y, random_state=12345)
X_train, X_test, y_train, y_test = split
model = make_pipeline(StandardScaler(), LogisticRegression())
model.fit(X_train, y_train)

accuracy = {
    "train": round(model.score(X_train, y_train), 4),
    "test": round(model.score(X_test, y_test), 4),
}
(OUTPUT / "accuracy.json").write_text(json.dumps(accuracy) + "\n")
print("accuracy:", accuracy)
