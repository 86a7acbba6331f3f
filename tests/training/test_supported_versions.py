import environment
import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from lmn_tf.training import supported_versions


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
