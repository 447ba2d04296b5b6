"""The notebooks of `examples/notebooks` run from their first cell to their last; `make notebooks` keeps the outputs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import reachable

from gitqueue.adapters import preparation

BOOKS = sorted((Path(__file__).parents[1] / "examples" / "notebooks").glob("*.ipynb"))
SAID = {  # what a reader is promised, now and in the outputs that are kept
    "data-owner": ("completed", "counts of people are below 10", "withheld"),
    "from-syft-code-queue": ("(True, True)", "hello.txt", "is rejected: Reads what is not data"),
    "pysyft-story": ("the real data is an owner's", "training 0.9859, test 0.9720"),
    "researcher": ("'n': 100", "result.json", "is rejected: Copies every patient"),
}


@pytest.mark.slow
@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.reads(path.read_text(), as_version=4)
    kept = said(book)
    with reachable() as base:
        monkeypatch.setenv("HOME", str(base))
        monkeypatch.setenv("GITQUEUE_HOME", str(base))
        folder = {"metadata": {"path": str(base)}}
        NotebookClient(book, timeout=300, resources=folder, on_cell_executed=sharing(base)).execute()
    for words in SAID[path.stem]:
        assert words in kept, "make notebooks"
        assert words in said(book)


def said(book: object) -> str:
    """All that the cells have put out, without errors, as text."""
    found = [output for cell in book.cells for output in cell.get("outputs", ())]  # type: ignore[attr-defined]
    assert not [output for output in found if output.output_type == "error"]
    return "\n".join(output.get("text") or json.dumps(output.get("data", {}).get("text/plain")) for output in found)


def sharing(base: Path) -> Callable[..., None]:
    """Lets the site that the first cell makes use what environments were built on this machine before: scikit-learn's
    wheels are large, and to compile them takes most of a minute."""

    def share(**_: object) -> None:
        built = preparation.at_home().environments
        for spool in base.glob("*/spool"):
            if not (spool / preparation.ENVIRONMENTS).exists():
                built.mkdir(mode=0o711, parents=True, exist_ok=True)
                (spool / preparation.ENVIRONMENTS).symlink_to(built)

    return share
