"""Means of ten features by diagnosis. Writes means.csv (two rows) and means.png (the same, as bars)."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("MPLCONFIGDIR", tempfile.gettempdir())  # matplotlib keeps a list of fonts; home is not writable

import matplotlib
import pandas as pd

matplotlib.use("agg")  # draws into files: there is no screen
import matplotlib.pyplot as plt

DATA = Path(os.environ["GITQUEUE_DATA"], "breast-cancer")
OUTPUT = Path(os.environ["GITQUEUE_OUTPUT"])
COLOURS = {"benign": "#4c9f8b", "malignant": "#d1495b"}

patients = pd.read_csv(DATA / "features.csv").merge(pd.read_csv(DATA / "labels.csv"), on="patient_id", validate="1:1")
features = [name for name in patients.columns if name.startswith("mean_")]
groups = patients.groupby("diagnosis")

means = groups[features].mean().round(4)
means.insert(0, "patients", groups.size())
means.to_csv(OUTPUT / "means.csv")

# The features have different units, so each bar is a share of the mean over all patients.
shares = means[features] / patients[features].mean()
figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
for place, (diagnosis, row) in enumerate(shares.iterrows()):
    heights = [position + (place - 0.5) * 0.38 for position in range(len(features))]
    label = f"{diagnosis} ({means.loc[diagnosis, 'patients']} patients)"
    bars = axes.barh(heights, row, height=0.36, color=COLOURS[diagnosis], label=label)
    axes.bar_label(bars, fmt="%.2f", padding=-26, fontsize=8, color="white")

axes.set_yticks(range(len(features)), [name.removeprefix("mean_").replace("_", " ") for name in features])
axes.invert_yaxis()
axes.axvline(1, color="#999999", linewidth=0.8, zorder=0)
axes.set_xlabel("group mean, as a share of the mean over all patients")
axes.set_title("Ten features by diagnosis", loc="left", fontweight="bold")
axes.spines[["top", "right", "left"]].set_visible(False)
axes.tick_params(axis="y", length=0)
axes.legend(frameon=False, loc="lower right")
figure.savefig(OUTPUT / "means.png", dpi=150)

print(means.T.to_string())
