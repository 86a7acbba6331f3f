import pytest
from spec_edits import FEATURES, check_refused

from lmn_tf.specs.bucketize import Bucketize
from lmn_tf.specs.feature import Feature
from lmn_tf.specs.min_max import MinMax
from lmn_tf.specs.transform import to_steps


def numeric(transform):
    return Feature(name="a", role="user", kind="numeric", transform=transform).transform


@pytest.mark.parametrize(
    "written, steps",
    [
        ("log1p", ("log1p",)),
        ({"min_max": [0, 1]}, (MinMax(min_max=(0, 1)),)),
        ({"bucketize": [1, 2]}, (Bucketize(bucketize=(1, 2)),)),
        (["log1p", {"bucketize": [1]}], ("log1p", Bucketize(bucketize=(1,)))),
        ([], ()),
        ((Bucketize(bucketize=(1,)),), (Bucketize(bucketize=(1,)),)),
    ],
)
def test_one_step_or_many(written, steps):
    assert numeric(written) == steps


def test_names_stay_names():
    assert to_steps(["log1p", "min_max"]) == ("log1p", "min_max")


@pytest.mark.parametrize(
    "new, message",
    [
        ("logp", "each step of `transform` must be one of `standardize`, `log1p`"),
        ("logp", "Did you mean `log1p`?"),
        ("bucketize", "`bucketize` must have boundaries or `quantiles`. Received: nothing"),
        ("{log1p: 3}", "`log1p` must have no values. Received: 3"),
        ("{}", "each step of `transform` must be a name or one `name: values`. Received: {}"),
        (
            "{min_max: [0, 1], log1p: 1}",
            "each step of `transform` must be a name or one `name: values`.",
        ),
        (
            "[[log1p]]",
            "each step of `transform` must be a name or one `name: values`. Received: ['log1p']",
        ),
        ("7", "each step of `transform` must be a name or one `name: values`. Received: 7"),
        ("[{bucketize: [1]}, log1p]", "`bucketize` must be the last step of `transform`."),
    ],
)
def test_refuses(new, message, tmp_path):
    old = "min_max}"
    check_refused(FEATURES, old, new + "}", message, tmp_path)
