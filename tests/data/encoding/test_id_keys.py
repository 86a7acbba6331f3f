import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmn_tf.data.encoding.id_keys import as_integers, as_keys, as_texts, quick_integers
from lmn_tf.data.encoding.source_location import SourceLocation

PLACE = SourceLocation.of_rows("a.parquet", "x", 0)
NAN = float("nan")
DAY = datetime.date(2024, 1, 31)


def decimals(*values, kind=None):
    return pa.array([None if v is None else decimal.Decimal(v) for v in values], kind)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (pa.array([1, None], pa.uint8()), ["1", None]),
        (pa.array([-5, 2**63 - 1]), ["-5", str(2**63 - 1)]),
        (
            pa.array([2**64 - 1, 2**63, 7, None], pa.uint64()),
            [str(2**64 - 1), str(2**63), "7", None],
        ),
        (pa.array([7, None], pa.uint64()), ["7", None]),
        (pa.array([None, None], pa.uint64()), [None, None]),
        (pa.array([True, False]), ["1", "0"]),
        (pa.array([1.0, -0.0, NAN, None]), ["1", "0", None, None]),
        (pa.array([2.0**53 - 1, -(2.0**53) + 1]), [str(2**53 - 1), str(1 - 2**53)]),
        (pa.array([2.0**24 - 1], pa.float32()), [str(2**24 - 1)]),
        (pa.array(np.array([2047], np.float16)), ["2047"]),
        (decimals("7.00", None, "-0.00"), ["7", None, "0"]),
        (decimals("1e30", "-7", kind=pa.decimal256(40, 2)), ["1" + 30 * "0", "-7"]),
        (pa.array([None, None]), [None, None]),
        (pa.array([5, 6]).dictionary_encode(), ["5", "6"]),
        (pa.array(["a", " 007", ""], pa.large_string()), ["a", " 007", ""]),
        (pa.array(["a"], pa.string_view()), ["a"]),
        (pa.array(["nan", None]).dictionary_encode(), ["nan", None]),
        (pa.array([DAY, None]), ["2024-01-31", None]),
        (pa.array([DAY], pa.date64()), ["2024-01-31"]),
    ],
)
def test_a_key_is_the_text_of_its_value(values, wanted):
    keys = as_keys(values, PLACE)
    if pa.types.is_dictionary(keys.type):
        keys = keys.dictionary_decode()
    assert keys.type in (pa.int64(), pa.string())
    assert as_texts(keys).to_pylist() == wanted


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([1.0, 2.5]), "row 2: the value must be an integer or text. Received: 2.5"),
        (pa.array([1.0, np.inf]), "row 2: the value must be an integer or text. Received: inf"),
        (
            pa.array([None, 2.0**53]),
            r"row 2: an id of type double must be smaller than 2\^53, from where on one float "
            "stands for several integers: write integers or text. Received: 9007199254740992",
        ),
        (pa.array([-(2.0**24)], pa.float32()), r"type float must be smaller than 2\^24, from"),
        (
            pa.array(np.array([2048], np.float16)),
            r"type halffloat must be smaller than 2\^11, from",
        ),
        (decimals("7.00", "7.10"), "row 2: the value must be an integer or text. Received: '7.10'"),
        (pa.array([[1]]), "column `x` must hold one value, not lists. Received: list<"),
        (
            pa.array([datetime.datetime(2024, 1, 31)]),
            "column `x` must hold integers, text or dates, or be cast to text. Received: timestamp",
        ),
        (pa.array([b"a"]), "must hold integers, text or dates, or be cast to text. Received: bin"),
    ],
)
def test_values_without_a_text_of_their_own(values, message):
    with pytest.raises(ValueError, match=message):
        as_keys(values, PLACE)


def _python_integer(text):
    """Slow twin of `as_integers` for one text."""
    try:
        number = int(text)
    except (TypeError, ValueError):
        return None
    return number if str(number) == text and -(2**63) <= number < 2**63 else None


near_int64 = st.integers(-(2**63) - 2, -(2**63) + 2) | st.integers(2**63 - 2, 2**64)
texts = st.one_of(
    st.none(),
    st.integers(-(10**21), 10**21).map(str),
    near_int64.map(str),
    st.from_regex(r"[-+]?0?[0-9]{0,20}[.e]?", fullmatch=True),
    st.sampled_from(["0x10", "", " 5", "5 ", "5\n", "\u0665", "1_0", "-0", "00", "nan"]),
    st.text(max_size=3),
)


@given(st.lists(texts, max_size=6))
def test_integers_are_what_python_writes(values):
    array = pa.array(values, pa.string())
    wanted = [_python_integer(text) for text in values]
    assert as_integers(array).to_pylist() == wanted
    quick = quick_integers(array)
    assert quick is None or quick.to_pylist() == wanted
    if all((text is None) == (number is None) for text, number in zip(values, wanted, strict=True)):
        assert quick is not None


integers = st.integers(0, 2**64 - 1)


@given(st.lists(integers, min_size=1, max_size=6))
def test_integers_of_any_type_are_their_text(values):
    forms = [pa.array(values, pa.uint64()), pa.array([str(value) for value in values])]
    forms.append(pa.array([decimal.Decimal(value) for value in values]))
    if max(values) < 2**63:
        forms.append(pa.array(values, pa.int64()))
    if max(values) < 2**53:
        forms.append(pa.array([float(value) for value in values]))
    for form in forms:
        assert as_texts(as_keys(form, PLACE)).to_pylist() == [str(value) for value in values]
