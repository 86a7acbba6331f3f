import json

from lmn_tf.cli.main import main
from lmn_tf.training import diagnosis


def test_report_in_words(capsys, monkeypatch):
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for word in (
        "versions",
        "tensorflow",
        "devices",
        "cpu_cores",
        "xla",
        "limits",
        "open_files",
        "(tested: ",
    ):
        assert word in out


def test_report_as_json(capsys):
    main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"versions", "tested", "devices", "xla", "limits", "problems"}


def test_an_error_gives_status_one(capsys, monkeypatch):
    monkeypatch.setattr(diagnosis, "other_backend", lambda: "Keras must run on tensorflow.")
    monkeypatch.setattr(diagnosis, "_tensorflow", lambda problems: ({}, {}))
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "problems\n" in out and "error: Keras must run on tensorflow" in out
