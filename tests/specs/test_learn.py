import pytest
from spec_edits import FEATURES, check_refused

from lmn_tf.specs.learn import Learn


def test_defaults():
    assert Learn() == Learn(min_count=1, max_size=None)


@pytest.mark.parametrize("new", ["{min_count: 0", "{min_count: 1.5", "{min_count: null"])
def test_counts_are_positive_integers(new, tmp_path):
    check_refused(FEATURES, "{min_count: 2", new, "min_count", tmp_path)
