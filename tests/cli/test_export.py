import contextlib
import io
import json
import shutil

import pytest
from tiny_run import market, trained_run

from lmn_tf.cli.main import main
from lmn_tf.serving import saved_model


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """An export that the command wrote, and what it said."""
    out = tmp_path_factory.mktemp("export") / "out"
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert main(["export", str(trained_run()), str(out), "--rows", "50"]) == 0
    return out, said.getvalue()


@pytest.fixture
def saved_before(written, monkeypatch):
    """Takes the SavedModel of that export in place of saving the same model again."""

    def save(model, folder, spec):
        shutil.copytree(written[0] / "saved_model", folder)

    monkeypatch.setattr(saved_model, "save", save)


def test_exports_and_compares(written):
    out, said = written
    assert said.startswith(f"Exported to {out}: ") and "On 50 rows" in said
    report = json.loads((out / "parity.json").read_text())
    assert report["rows"] == report["serving_windows"]["rows"] == 50
    parts = [report, report["serving_windows"], report["score_encoded"]]
    figures = [part["largest_difference"] for part in parts]
    assert f"differs by at most {max(figures):.2g}." in said


@pytest.mark.usefixtures("saved_before")
def test_report_as_json(tmp_path, capsys):
    options = ["--rows", "20", "--json", "--data", f"{market()}/valid-*.parquet"]
    arguments = [*options, "--tolerance", "1e-3"]
    assert main(["export", str(trained_run()), str(tmp_path / "export"), *arguments]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((tmp_path / "export" / "parity.json").read_text())
    assert report["tolerance"] == 1e-3


def test_a_tolerance_below_0_is_refused(tmp_path, capsys):
    assert main(["export", str(trained_run()), str(tmp_path / "b"), "--tolerance", "-1"]) == 2
    assert "--tolerance" in capsys.readouterr().err


def test_a_taken_folder_is_refused(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("")
    assert main(["export", str(trained_run()), str(tmp_path)]) == 2
    assert "`OUT_DIR` must be a new or empty folder" in capsys.readouterr().err


@pytest.mark.usefixtures("saved_before")
def test_a_model_that_cannot_be_exported_is_no_mistake_of_the_user(tmp_path, capsys, monkeypatch):
    def differs(*_, **__):
        raise saved_model.ExportError("the reloaded export must score like the model")

    monkeypatch.setattr(saved_model, "check_parity", differs)
    assert main(["export", str(trained_run()), str(tmp_path / "out")]) == 1
    assert "must score like the model" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
