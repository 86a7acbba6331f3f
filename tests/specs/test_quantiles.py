import pytest
from spec_edits import FEATURES, check_refused

from lmn_tf.specs.transform import Quantiles


def test_holds_the_number_of_buckets():
    assert Quantiles(quantiles=4).quantiles == 4


@pytest.mark.parametrize(
    "value, rule", [("1", "at least 2"), ("2000000", "at most 1000000"), ("[2]", "an integer")]
)
def test_refuses(value, rule, tmp_path):
    message = f"`features[2].transform[1].bucketize.quantiles` must be {rule}. Received: quantiles="
    check_refused(FEATURES, "{quantiles: 10}", f"{{quantiles: {value}}}", message, tmp_path)
