"""Counts and means of a table's numeric columns. Yours to change."""

import csv
from statistics import fmean

FEWEST = 10  # a number about fewer people than this can point at one of them: leave it out


def analyse({{ inputs | join(', ') }}):
    """Each parameter is the asset that job.yaml names; a CSV is a path here, a frame where `environment` has pandas."""
    with {{ inputs | first }}.open(newline="") as file:
        header, *rows = csv.reader(file)
    columns = {name: numbers(values) for name, values in zip(header, zip(*rows))}
    return {
        name: {"count": len(found), "mean": float(f"{fmean(found):.3g}")}
        for name, found in columns.items()
        if len(found) >= FEWEST
    }


def numbers(values):
    """The values as numbers, or none at all where one of them is something else."""
    try:
        return [float(value) for value in values if value]
    except ValueError:
        return []
