import pytest
from spec_edits import FEATURES, check_refused

from lmn_tf.specs.columns import Feature
from lmn_tf.specs.transform import Bucketize, MinMax, Quantiles, to_steps


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
