import sys

from lmn_tf.training import diagnosis


def test_a_sound_machine(monkeypatch):
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    report = diagnosis.diagnose()
    assert set(report) == {"versions", "devices", "xla", "limits", "problems"}
    assert report["versions"]["keras"].startswith("3.")
    assert report["devices"]["cpu_cores"] >= 1 and report["xla"]["works"] is True
    assert report["limits"]["open_files"] > 0
    assert [p for p in report["problems"] if p["severity"] == "error"] == []


def test_what_the_environment_breaks_is_told(monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    messages = [p["message"] for p in diagnosis.diagnose()["problems"]]
    assert any("`TF_USE_LEGACY_KERAS` must not be set" in m for m in messages)
    assert any("`KERAS_BACKEND` must be tensorflow. Received: jax" in m for m in messages)


def test_missing_and_old_packages_are_told(monkeypatch):
    real = diagnosis.importlib.metadata.version

    def version(name):
        if name == "duckdb":
            raise diagnosis.importlib.metadata.PackageNotFoundError(name)
        return "2.9.1" if name == "keras" else real(name)

    monkeypatch.setattr(diagnosis.importlib.metadata, "version", version)
    monkeypatch.setattr(diagnosis, "_tensorflow", lambda problems: ({}, {}))
    report = diagnosis.diagnose()
    assert report["versions"]["duckdb"] == "missing"
    messages = [p["message"] for p in report["problems"]]
    assert "`duckdb` must be installed: pip install duckdb" in messages
    assert "`keras` must be 3.10 or later. Received: 2.9.1" in messages


def test_a_tensorflow_that_does_not_import_is_a_problem_like_others(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    report = diagnosis.diagnose()
    [problem] = [p for p in report["problems"] if "must be importable" in p["message"]]
    assert problem["severity"] == "error" and report["devices"] == {}
