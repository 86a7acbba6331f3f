import pytest
from spec_edits import FEATURES, check_refused

from lmn_tf.specs.quantiles import Quantiles


def test_holds_the_number_of_buckets():
    assert Quantiles(quantiles=4).quantiles == 4


@pytest.mark.parametrize("new", ["{quantiles: 1}", "{quantiles: 2000000}", "{quantiles: [2]}"])
def test_refuses(new, tmp_path):
    check_refused(FEATURES, "{quantiles: 10}", new, "quantiles` must be", tmp_path)
