"""The public face of the package."""

import subprocess
import sys

import pytest

import lmn_tf


@pytest.mark.parametrize("name", lmn_tf.__all__)
def test_every_public_name_can_be_had(name):
    assert getattr(lmn_tf, name) is not None
    assert name in dir(lmn_tf)


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="module 'lmn_tf' has no attribute 'LNM'"):
        _ = lmn_tf.LNM


def test_importing_the_package_does_not_load_tensorflow():
    code = "import lmn_tf, sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
