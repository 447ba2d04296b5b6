"""Run the notebooks beside this file from their first cell to their last, and keep their outputs: `make notebooks`."""

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def main() -> None:
    for path in sorted(Path(__file__).parent.glob("*.ipynb")):
        book = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory(prefix="gitqueue-notebook-", dir="/tmp") as base:
            os.chmod(base, 0o755)  # the account that jobs run as must reach the site
            os.environ.update(HOME=base, GITQUEUE_HOME=base, GIT_CONFIG_GLOBAL=os.devnull)
            NotebookClient(book, timeout=600, resources={"metadata": {"path": base}}).execute()
        for cell in book.cells:
            cell.metadata.pop("execution", None)  # times, which would differ each time
        nbformat.write(book, path)


if __name__ == "__main__":
    main()
