import numpy as np
import pyarrow as pa
import pytest

from lmn_tf.data.encoding.number_encoder import NumberEncoder, apply_step, leading_steps
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.data.learning.counts import NumberSummary
from lmn_tf.specs.transform import Bucketize, MinMax, Quantiles

PLACE = SourceLocation.of_rows("a.parquet", "price", 0)
VALUES = np.array([0.0, 1.0, 3.0, 12.0])
FIGURES = {"mean": 4.0, "std": 2.0, "min": 0.0, "max": 12.0, "quantiles": [1.0, 3.0], "count": 4}
TERCILES = Bucketize(bucketize=Quantiles(quantiles=3))


def encode(transform, values=VALUES, default=None):
    return NumberEncoder("price", transform, FIGURES, default).encode(pa.array(values), PLACE)


@pytest.mark.parametrize(
    ("transform", "wanted"),
    [
        ((), VALUES),
        (("log1p",), np.log1p(VALUES)),
        (("standardize",), (VALUES - 4) / 2),
        (("min_max",), VALUES / 12),
        ((MinMax(min_max=(2, 4)),), (VALUES - 2) / 2),
        (("log1p", "standardize"), (np.log1p(VALUES) - 4) / 2),
        (("standardize", "min_max"), VALUES / 12),
        (("min_max", "standardize"), (VALUES - 4) / 2),
        (("min_max", "log1p", "min_max"), np.log1p(VALUES / 12) / np.log1p(1)),
    ],
)
def test_transforms(transform, wanted):
    numbers = encode(transform)
    assert numbers.dtype == np.float32
    np.testing.assert_allclose(numbers, wanted, rtol=1e-6, atol=1e-7)
    encoder = NumberEncoder("price", transform, FIGURES)
    np.testing.assert_allclose([encoder.decode(x) for x in wanted], VALUES, atol=1e-9)


@pytest.mark.parametrize(
    "transform",
    [
        (Bucketize(bucketize=(1, 3)),),
        (TERCILES,),
        ("standardize", TERCILES),
        ("min_max", "log1p", TERCILES),
    ],
)
def test_buckets_hold_their_lower_bound(transform):
    ids = encode(transform)
    assert ids.dtype == np.int32 and ids.tolist() == [2, 3, 4, 4]


def test_a_constant_column_becomes_zero():
    figures = {"mean": 5.0, "std": 0.0, "min": 5.0, "max": 5.0}
    for step in ("standardize", "min_max"):
        encoder = NumberEncoder("price", (step,), figures)
        assert encoder.encode(pa.array([5.0]), PLACE).tolist() == [0.0]


def test_missing_numbers():
    values = pa.array([1.0, None, np.nan])
    assert encode((), values, default=7).tolist() == [1, 7, 7]
    assert encode((Bucketize(bucketize=(1, 3)),), values).tolist() == [3, 1, 1]
    assert encode((Bucketize(bucketize=(1, 3)),), values, default=7).tolist() == [3, 4, 4]


@pytest.mark.parametrize(
    ("values", "transform", "message"),
    [
        (
            [1.0, np.nan],
            (),
            "a.parquet: column `price`, row 2: a number must be given, or `price` a `default`. "
            r"Received: 'no value \(null or NaN\)'",
        ),
        ([1.0, np.inf], (), "row 2: the number must be finite. Received: inf"),
        (
            [1.0, 1e39],
            (),
            r"row 2: the number, after its transform, must be finite as float32 \(up to 3.4e38\). "
            r"Received: 1e\+39",
        ),
        (
            [0.0, 1e10],
            (MinMax(min_max=(0, 1e-300)),),
            r"row 2: the number, .*Received: 10000000000.0",
        ),
        (
            [0.0, 1e308],
            (MinMax(min_max=(0, 1e-10)), Bucketize(bucketize=(1, 3))),
            r"row 2: the number must be finite after its transform. Received: 1e\+308",
        ),
        ([0.0, -1.0], ("log1p",), "row 2: a number must be above -1 for log1p. Received: -1.0"),
    ],
)
def test_numbers_that_are_refused(values, transform, message):
    with pytest.raises(ValueError, match=message):
        encode(transform, values)


def test_standardize_needs_figures():
    with pytest.raises(ValueError, match="`standardize` of `price` must not follow a learned step"):
        encode(("min_max", "log1p", "standardize"))


def test_learned_figures_describe_what_the_first_learned_step_meets():
    assert leading_steps(("log1p", MinMax(min_max=(2, 4)), "standardize", "log1p")) == [
        ("log1p", 0.0, 1.0),
        ("min_max", 2.0, 2.0),
    ]
    assert apply_step(np.array([3.0]), "min_max", 2.0, 2.0, PLACE).tolist() == [0.5]


@pytest.mark.parametrize("step", ["standardize", "min_max"])
@pytest.mark.parametrize("price", [2.5, 9.01, 10.01, 14.62, 1 / 3, -1e-300, 1e100])
def test_a_constant_column_is_subtracted(step, price):
    summary = NumberSummary()
    for chunk in np.array_split(np.full(2_000, price), 7):
        summary.add(chunk)
    values = np.array([price, price + 1]) if abs(price) < 1e10 else np.array([price])
    found = NumberEncoder("price", (step,), summary.figures()).encode(pa.array(values), PLACE)
    assert found.tolist() == pytest.approx([0.0, 1.0][: len(values)])
