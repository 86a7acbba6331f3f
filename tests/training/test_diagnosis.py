import sys

import environment
import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from lmn_tf.training import diagnosis
from lmn_tf.training import diagnosis as supported_versions


def test_a_sound_machine(monkeypatch):
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    report = diagnosis.diagnose()
    assert set(report) == {"versions", "tested", "devices", "xla", "limits", "problems"}
    assert report["versions"]["keras"].startswith("3.")
    assert report["tested"]["keras"] == [environment.pins(age)["keras"] for age in environment.AGES]
    assert report["devices"]["cpu_cores"] >= 1 and report["xla"]["works"] is True
    assert report["limits"]["open_files"] > 0
    assert [p for p in report["problems"] if p["severity"] == "error"] == []


def test_what_the_environment_breaks_is_told(monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    monkeypatch.setattr(diagnosis, "other_backend", lambda: "Keras must run on tensorflow.")
    messages = [p["message"] for p in diagnosis.diagnose()["problems"]]
    assert any("`TF_USE_LEGACY_KERAS` must not be set" in m for m in messages)
    assert any("Keras must run on tensorflow" in m for m in messages)


def test_missing_old_and_untested_packages_are_told(monkeypatch):
    real = diagnosis.importlib.metadata.version
    others = {"keras": "2.9.1", "numpy": "1.30.0", "rich": "14.99.99", "click": "8.999"}

    def version(name):
        if name == "duckdb":
            raise diagnosis.importlib.metadata.PackageNotFoundError(name)
        return others.get(name) or real(name)

    needs = ["duckdb>=2.0,<3", "keras>=3.15,<3.16", "numpy>=1.26,<3", "click>=8.4,<9", "pip"]
    needs += ["rich>=13.7,<16", 'pytest<1; extra == "test"']
    monkeypatch.setattr(diagnosis.importlib.metadata, "requires", lambda name: needs)
    monkeypatch.setattr(diagnosis.importlib.metadata, "version", version)
    monkeypatch.setattr(diagnosis, "_tensorflow", lambda problems: ({}, {}))
    report = diagnosis.diagnose()
    assert report["versions"]["duckdb"] == "missing"
    newest = environment.pins("newest")["click"]
    told = [(p["severity"], p["message"]) for p in report["problems"]]
    assert told == [
        ("error", "`duckdb` must be installed: pip install duckdb"),
        ("error", "`keras` must be >=3.15,<3.16. Received: 2.9.1"),
        ("warning", f"`click` should be 8.4.0 to {newest}, as tested. Received: 8.999"),
    ]


def test_a_package_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setattr(diagnosis, "bounds", dict)
    monkeypatch.setattr(diagnosis, "_tensorflow", lambda problems: ({}, {}))
    report = diagnosis.diagnose()
    assert report["versions"]["lmn_tf"].endswith("(not installed)") and report["tested"] == {}
    assert "`lmn_tf` must be installed" in report["problems"][0]["message"]


def test_a_tensorflow_that_does_not_import_is_a_problem_like_others(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    report = diagnosis.diagnose()
    [problem] = [p for p in report["problems"] if "must be importable" in p["message"]]
    assert problem["severity"] == "error" and report["devices"] == {}


def test_bounds_are_those_of_the_package(monkeypatch):
    needs = ["keras<4,>=3.15", "Keras_RS>=0.4", 'ruff>=0.6; extra == "test"']
    monkeypatch.setattr(supported_versions.importlib.metadata, "requires", lambda name: needs)
    assert supported_versions.bounds() == {
        "keras": SpecifierSet(">=3.15,<4"),
        "keras-rs": SpecifierSet(">=0.4"),
    }


def test_what_is_not_installed_has_no_bounds():
    assert supported_versions.bounds("lmn_tf_that_is_not_there") == {}


def test_tested_versions_are_those_of_the_constraints():
    tested = supported_versions.tested()
    for name in environment.requirements():
        pair = tuple(Version(environment.pins(age)[name]) for age in environment.AGES)
        assert tested[name] == pair


@pytest.mark.parametrize(
    "name, found, allowed, severity",
    [
        ("keras", "3.15.0", ">=3.15,<3.16", None),
        ("keras", "3.16.0", ">=3.15,<3.16", "error"),
        ("keras", "3.14.9", ">=3.15,<3.16", "error"),
        ("tensorflow", "2.21.0+nv1", ">=2.21,<2.22", None),
        ("tensorflow", "2.21.99", ">=2.21,<2.22", "warning"),
        ("numpy", "2.999.0rc1", ">=1.26,<3", "warning"),
        ("a_package_without_constraints", "1.0", ">=0.1", None),
    ],
)
def test_misfits(name, found, allowed, severity):
    told = supported_versions.misfit(name, found, SpecifierSet(allowed))
    assert (told and told[0]) == severity
    assert told is None or told[1].endswith(f"Received: {found}")
