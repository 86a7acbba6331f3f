import contextlib
import io
import json
import shutil

import pytest
import tensorflow as tf
from tiny_run import exported, market, trained_run

from lmn_tf.cli.main import main
from lmn_tf.serving import saved_model
from lmn_tf.training.saving.run_directory import RunDirectory


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """An export that the command wrote, and what it said."""
    out = tmp_path_factory.mktemp("export") / "out"
    options = ["--rows", "50", "--values", "int8", "--max-auc-loss", "0.1"]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert main(["export", str(trained_run()), str(out), *options]) == 0
    return out, said.getvalue()


@pytest.fixture
def saved_before(monkeypatch):
    """Takes the SavedModel of the run's export in place of saving the same model again."""
    exported()

    def save(model, folder, *_):
        shutil.copytree(exported() / "saved_model", folder)

    monkeypatch.setattr(saved_model, "save", save)


def test_exports_and_compares(written):
    out, said = written
    assert said.startswith(f"Exported to {out}: ") and "On 50 rows" in said
    report = json.loads((out / "parity.json").read_text())
    assert {figures["rows"] for figures in report["signatures"].values()} == {50}
    assert f"differs by at most {report['largest_difference']:.2g}." in said


def test_values_in_fewer_bits(written):
    out, said = written
    report = json.loads((out / "parity.json").read_text())
    loss = report["quantization"]
    assert (loss["values"], loss["embeddings"], loss["rows"]) == ("int8", "float32", 50)
    assert report["largest_difference"] < 1e-5 < loss["largest_difference"] < 0.02
    auc = loss["auc"]["click"]
    assert auc["loss"] == pytest.approx(auc["model"] - auc["exported"])
    told = f"the AUC of click is {auc['exported']:.5f} (before {auc['model']:.5f})."
    assert "\nWith values as int8 and embeddings as float32 it takes " in said and told in said
    reader = tf.train.load_checkpoint(str(out / "saved_model" / "variables" / "variables"))
    kinds, shapes = reader.get_variable_to_dtype_map(), reader.get_variable_to_shape_map()
    assert [shapes[name][0] for name, kind in kinds.items() if kind == tf.int8] == [36]
    floats = [shapes[name] for name, kind in kinds.items() if kind == tf.float32]
    assert [shape for shape in floats if shape[:1] == [36]] == [[36]]  # a scale for each slot


def test_the_run_and_its_data_are_told(written):
    out, _ = written
    info = json.loads((out / "export.json").read_text())
    directory = RunDirectory.open(trained_run())
    assert info["run_id"] == directory.run_id
    assert info["data_fingerprint"] == directory.data_fingerprint and info["model"] == "lmn"
    told = tf.saved_model.load(str(out / "saved_model")).signatures["export_info"]()
    assert told["run_id"].numpy().decode() == directory.run_id


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

    monkeypatch.setattr(saved_model, "compare_signatures", differs)
    assert main(["export", str(trained_run()), str(tmp_path / "out")]) == 1
    assert "must score like the model" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
