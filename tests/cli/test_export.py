import json

from tiny_run import exported, market, trained_run

from lmn_tf.cli.main import main


def test_exports_and_compares(tmp_path, capsys):
    out = tmp_path / "export"
    assert main(["export", str(trained_run()), str(out), "--rows", "50"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"Exported to {out}: ") and "On 50 rows" in said
    report = json.loads((out / "parity.json").read_text())
    assert report["rows"] == report["serving_windows"]["rows"] == 50
    figures = (report["largest_difference"], report["serving_windows"]["largest_difference"])
    assert f"differs by at most {max(figures):.2g}." in said


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


def test_a_taken_folder_is_refused(capsys):
    assert main(["export", str(trained_run()), str(exported())]) == 2
    assert "`OUT_DIR` must be a new or empty folder" in capsys.readouterr().err


def test_a_model_that_cannot_be_exported_is_no_mistake_of_the_user(tmp_path, capsys, monkeypatch):
    from lmn_tf.serving import saved_model

    def differs(*_, **__):
        raise saved_model.ExportError("the reloaded export must score like the model")

    monkeypatch.setattr(saved_model, "check_parity", differs)
    assert main(["export", str(trained_run()), str(tmp_path / "out")]) == 1
    assert "must score like the model" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
