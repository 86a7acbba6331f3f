import pytest
from spec_edits import FEATURES, check_refused

from lmn_tf.specs.min_max import MinMax


def test_integers_become_floats():
    assert MinMax(min_max=(0, 2)).min_max == (0.0, 2.0)


@pytest.mark.parametrize("new", ["[1, 1]", "[2, 1]"])
def test_low_is_below_high(new, tmp_path):
    check_refused(
        FEATURES, "[0, 1e6]", new, "`min_max` must be [low, high] with low < high.", tmp_path
    )


def test_the_width_is_finite(tmp_path):
    new = "[-1.5e308, 1.5e308]"
    check_refused(
        FEATURES,
        "[0, 1e6]",
        new,
        "`min_max` must be [low, high] whose difference is finite.",
        tmp_path,
    )
