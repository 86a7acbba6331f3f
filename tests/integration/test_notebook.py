"""The notebooks run from top to bottom."""

import shutil

import pytest

nbformat = pytest.importorskip("nbformat", reason="install with the extra `notebooks`")
nbclient = pytest.importorskip("nbclient", reason="install with the extra `notebooks`")


@pytest.mark.slow  # the README runs the same steps in the quick tests
@pytest.mark.parametrize("name", ["quickstart.ipynb"])
# Jupyter's own notes about its message loop and file locations.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
def test_the_notebook_runs(name, root, tmp_path, monkeypatch):
    shutil.copytree(root / "notebooks", tmp_path / "notebooks")
    shutil.copytree(root / "feature_specs", tmp_path / "feature_specs")
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.read(tmp_path / "notebooks" / name, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path / "notebooks")}}
    )
    client.execute()
    events = list((tmp_path / "notebooks").rglob("*tfevents*"))
    assert events, "the notebook must write TensorBoard files"


def test_notebooks_are_committed_without_output(root):
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            assert not cell.get("outputs"), f"{path.name}: clear the outputs before committing"
