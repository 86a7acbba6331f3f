import pytest
from spec_edits import FEATURES, check_refused

from lmn_tf.specs.bucketize import Bucketize
from lmn_tf.specs.quantiles import Quantiles


def test_sizes_count_buckets_and_reserved_ids():
    given = Bucketize(bucketize=(1.0, 2.0))
    assert (given.learned, given.size) == (False, 5)
    learned = Bucketize(bucketize=Quantiles(quantiles=10))
    assert (learned.learned, learned.size) == (True, 12)


@pytest.mark.parametrize("new", ["[150, 150]", "[175, 150]"])
def test_boundaries_increase(new, tmp_path):
    check_refused(
        FEATURES, "[150, 175.5]", new, "boundaries of `bucketize` must increase.", tmp_path
    )
