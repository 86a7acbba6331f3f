import environment
import pytest
from packaging.version import Version


@pytest.mark.parametrize("name", environment.requirements())
def test_what_was_tested_is_what_is_allowed(name):
    need = environment.requirements()[name]
    oldest, newest = (environment.pins(age)[name] for age in environment.AGES)
    bounds = {one.operator: one.version for one in need.specifier}
    assert Version(bounds[">="]) == Version(oldest)
    assert need.specifier.contains(newest)
    assert Version(oldest) <= Version(newest)
    assert "<" in bounds or name == "packaging"  # numbered by the year: nothing breaks by it


def test_a_gpu_needs_the_same_tensorflow():
    plain = environment.requirements(())["tensorflow"]
    assert environment.requirements(("gpu",))["tensorflow"].specifier == plain.specifier


def test_other_versions_are_told():
    found = {name: environment.pins("newest")[name] for name in environment.requirements()}
    assert environment.misfits(found) == environment.misfits(found, "newest") == []
    assert any(line.startswith("keras==") for line in environment.misfits(found, "oldest"))
    found |= {"keras": "3.10.0", "pyarrow": None}
    keras, pyarrow = environment.misfits(found)
    assert keras.endswith("must be installed. Received: 3.10.0") and "keras" in keras
    assert pyarrow.endswith("must be installed. Received: nothing") and "pyarrow" in pyarrow
