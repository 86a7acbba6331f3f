import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from lmn_tf.data.encoding import elapsed_time
from lmn_tf.data.encoding.arrow_values import MISSING_TIME
from lmn_tf.data.encoding.number_encoder import NumberEncoder
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.serving.raw.numbers import NumberSteps, elapsed_ids, smallest_reaching, to_times
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec

LOCATION = SourceLocation.of_rows("rows", "x", 0)


def number_spec(**column):
    spec = {"spec_version": 1, "name": "numbers", "labels": [{"name": "click"}]}
    feature = {"name": "x", "role": "item", "kind": "numeric", **column}
    return FeatureSpec.from_dict({**spec, "features": [feature]})


def steps_of(**column):
    spec = number_spec(**column)
    return NumberSteps(spec, spec.feature("x"))


@settings(max_examples=50)
@given(
    st.lists(st.floats(-0.99, 1e9, allow_subnormal=False), min_size=1, max_size=10),
    st.sampled_from([["log1p"], [{"min_max": [-3, 7.1]}], [{"min_max": [-1, 1e9]}, "log1p"]]),
)
def test_limits_are_exact_at_their_neighbors(numbers, transform):
    encoder = NumberEncoder("x", number_spec(transform=transform).feature("x").transform)
    reached = np.array(numbers)
    for step, offset, scale in encoder.steps:
        reached = np.log1p(reached) if step == "log1p" else (reached - offset) / scale
    found = smallest_reaching(encoder.steps, reached)
    assert (found <= numbers).all()
    for at, below in ((found, False), (np.nextafter(found, -np.inf), True)):
        for step, offset, scale in encoder.steps:
            at = np.log1p(at) if step == "log1p" else (at - offset) / scale
        assert ((at < reached) == below).all()


def test_a_limit_that_no_number_reaches_is_infinite():
    assert smallest_reaching([("log1p", 0.0, 1.0)], np.array([1e4])).tolist() == [np.inf]


def test_ties_with_boundaries_are_those_of_the_pipeline():
    numbers = np.random.default_rng(0).lognormal(0, 3, 500)
    cuts = np.unique(np.log1p(numbers)).tolist()
    transform = ["log1p", {"bucketize": cuts}]
    encoder = NumberEncoder("x", number_spec(transform=transform).feature("x").transform)
    found = steps_of(transform=transform)(tf.constant(numbers)).numpy()
    np.testing.assert_array_equal(found, encoder.encode(pa.array(numbers), LOCATION))
    # TensorFlow's own logarithm would have told some of them apart from their boundary.
    own = np.searchsorted(cuts, tf.math.log1p(numbers).numpy(), side="right") + 2
    assert (own != found).any()


def test_a_division_is_not_replaced_within_a_graph():
    numbers = np.random.default_rng(0).normal(0, 100, 1000)
    steps = steps_of(transform={"min_max": [0.1, 3.8]})
    found = tf.function(steps, autograph=False)(tf.constant(numbers)).numpy()
    np.testing.assert_array_equal(found, ((numbers - 0.1) / (3.8 - 0.1)).astype(np.float32))


@pytest.mark.parametrize(
    ("column", "number", "match"),
    [
        ({}, np.nan, "column `x`: a number must be given, or `x` a `default`. Received:.*nan"),
        ({}, np.inf, "must be finite as float32 .*inf"),
        ({}, 1e300, r"must be finite as float32 .*1e\+300"),
        ({"transform": "log1p"}, -1.0, "after its transform, must be finite"),
        ({"transform": {"bucketize": [1]}}, np.inf, "the number must be finite after"),
        ({"transform": ["log1p", {"bucketize": [1]}]}, -1.0, "the number must be finite after"),
        (
            {"transform": [{"min_max": [0, 0.1]}, {"bucketize": [1]}]},
            1.79e308,
            "the number must be finite after",
        ),
    ],
)
def test_a_number_that_the_pipeline_refuses_is_refused(column, number, match):
    encoder = NumberEncoder("x", number_spec(**column).feature("x").transform)
    with pytest.raises(UserError, match=r"number"):
        encoder.encode(pa.array([number]), LOCATION)
    with pytest.raises(tf.errors.InvalidArgumentError, match=match):
        steps_of(**column)(tf.constant([number], tf.float64))


def test_statistics_must_be_learned():
    with pytest.raises(UserError, match="the statistics of `x` must be learned"):
        steps_of(transform="standardize")


@pytest.mark.parametrize(
    ("unit", "given", "want"),
    [
        ("second", [1.5, np.nan, -2.0], [1_500_000, MISSING_TIME, -2_000_000]),
        ("millisecond", [1_700_000_000_123.0], [1_700_000_000_123_000]),
        ("microsecond", [7.0], [7]),
        ("nanosecond", [1_700_000_000_000_001_999, -1], [1_700_000_000_000_001, -1]),
        ("nanosecond", [MISSING_TIME], [MISSING_TIME]),
    ],
)
def test_times(unit, given, want):
    kind = tf.int64 if unit == "nanosecond" else tf.float64
    assert to_times(tf.constant(given, kind), unit, "t").numpy().tolist() == want


def test_a_time_in_another_unit_is_refused():
    with pytest.raises(tf.errors.InvalidArgumentError, match="column `t`: a time must count sec"):
        to_times(tf.constant([1.7e12], tf.float64), "second", "t")


@pytest.mark.parametrize("buckets", [1, 2, 20, 100])
@pytest.mark.parametrize("unit", ["second", "day"])
def test_buckets_of_elapsed_time(unit, buckets):
    column = (
        number_spec()
        .feature("x")
        .__class__(
            name="since", role="context", kind="elapsed_time", unit=unit, num_buckets=buckets
        )
    )
    size = elapsed_time.MICROSECONDS[unit]
    ago = [size * 2**power + shift for power in range(20) for shift in (-1, 0, 1)]
    event = np.array([10**15 - some for some in ago] + [MISSING_TIME])
    want = elapsed_time.elapsed_ids(np.int64(10**15), event, unit, buckets)
    found = elapsed_ids(tf.constant(10**15, tf.int64), tf.constant(event), column)
    np.testing.assert_array_equal(found, want)


def test_an_event_after_the_request_is_refused():
    column = number_spec().feature("x").__class__(name="since", role="context", kind="elapsed_time")
    for request in (6, MISSING_TIME):
        with pytest.raises(tf.errors.InvalidArgumentError, match="`since`: an event must not be l"):
            elapsed_ids(tf.constant([request], tf.int64), tf.constant([7], tf.int64), column)
