"""The notebooks of `examples/notebooks` run from their first cell to their last; `make notebooks` keeps the outputs."""

from pathlib import Path

import pytest
from conftest import reachable

BOOKS = sorted((Path(__file__).parents[1] / "examples" / "notebooks").glob("*.ipynb"))


LONG = ("pysyft-story",)  # builds an environment with scikit-learn, twice: a minute


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.storm if path.stem in LONG else ()) for path in BOOKS],
    ids=lambda path: path.stem,
)
def test_a_notebook_runs_to_its_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    kept = nbformat.read(path, as_version=4)
    assert any(cell.get("outputs") for cell in kept.cells), "its outputs are kept: make notebooks"
    with reachable() as base:
        monkeypatch.setenv("HOME", str(base))
        monkeypatch.setenv("GITQUEUE_HOME", str(base))
        ran = NotebookClient(kept, timeout=300, resources={"metadata": {"path": str(base)}}).execute()
    said = [output for cell in ran.cells for output in cell.get("outputs", ())]
    assert not [output for output in said if output.output_type == "error"]
