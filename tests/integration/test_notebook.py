"""The notebooks run from top to bottom."""

import os
import shutil
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="install with the extra `notebooks`")
nbclient = pytest.importorskip("nbclient", reason="install with the extra `notebooks`")

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = [path.name for path in sorted(FOLDER.glob("*.ipynb"))]
QUICK = "7_memory_in_tensorflow_recommenders.ipynb"


def test_notebooks_are_numbered():
    assert [name.split("_")[0] for name in NAMES] == [str(number) for number in range(1, 8)]


@pytest.mark.parametrize(
    "name",
    [name if name == QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES],
)
# Jupyter's own notes about its message loop and file locations.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
def test_the_notebook_runs(name, root, tmp_path, monkeypatch):
    shutil.copytree(root / "notebooks", tmp_path / "notebooks")
    shutil.copytree(root / "feature_specs", tmp_path / "feature_specs")
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # in a notebook, figures are shown inline
    notebook = nbformat.read(tmp_path / "notebooks" / name, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path / "notebooks")}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    figures = [output for output in outputs if "image/png" in output.get("data", ())]
    sources = "".join(cell.source for cell in notebook.cells)
    assert len(figures) == sources.count('layout="constrained"') > 0
    if name.startswith("1_"):
        assert list((tmp_path / "notebooks").rglob("*tfevents*"))


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_are_committed_without_output(name):
    for cell in nbformat.read(FOLDER / name, as_version=4).cells:
        assert not cell.get("outputs"), f"{name}: clear the outputs before committing"


@pytest.mark.parametrize("name", NAMES)
def test_each_figure_has_a_title_and_units(name):
    for cell in nbformat.read(FOLDER / name, as_version=4).cells:
        if "layout=" in cell.source:
            assert "title" in cell.source and "label" in cell.source, cell.source
