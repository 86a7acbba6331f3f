import pytest
from spec_edits import FEATURES, check_refused

from lmn_tf.specs.learn import Learn

INTEGER = "an integer"


def test_defaults():
    assert Learn() == Learn(min_count=1, max_size=None)


@pytest.mark.parametrize("value, rule", [("0", "at least 1"), ("1.5", INTEGER), ("null", INTEGER)])
def test_counts_are_positive_integers(value, rule, tmp_path):
    message = f"`features[7].lookup.learn.min_count` must be {rule}. Received: min_count="
    check_refused(FEATURES, "{min_count: 2", f"{{min_count: {value}", message, tmp_path)
