"""One version, told once."""

import re
from importlib import metadata

import pytest

from lmn_tf.version import __version__


def test_the_version_is_a_release_number():
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_the_installed_package_says_the_same():
    try:
        installed = metadata.version("lmn_tf")
    except metadata.PackageNotFoundError:
        pytest.skip("the package is imported from its folder, not installed")
    assert installed == __version__
