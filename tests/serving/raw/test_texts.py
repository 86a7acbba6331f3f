import re

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from id_forms import TEXTS

from lmn_tf.data.encoding.id_encoder import IdEncoder
from lmn_tf.data.encoding.id_keys import as_integers
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.serving.raw.texts import int64_pattern, to_decimal, to_int64
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.lookup import Lookup

EDGES = [2**63 + shift for shift in range(-12, 12)] + [10**18, 10**18 - 1, 10**19, 9 * 10**18]


def test_numbers_are_those_of_the_pipeline():
    texts = [*TEXTS, *(str(sign * edge) for edge in EDGES for sign in (1, -1)), "1\n", "", "-"]
    want = as_integers(pa.array(texts))
    numbers, are_numbers = to_int64(tf.constant(texts))
    assert are_numbers.numpy().tolist() == want.is_valid().to_pylist()
    assert numbers.numpy().tolist() == want.fill_null(0).to_pylist()


@given(st.integers(-(10**20), 10**20))
def test_pattern_of_int64(number):
    assert bool(re.fullmatch(int64_pattern(), str(number))) == (-(2**63) <= number < 2**63)


def test_decimals_are_those_of_the_pipeline():
    lookup, location = Lookup(identity=100), SourceLocation.of_rows("rows", "c", 0)
    encoder = IdEncoder("c", lookup, None)
    texts = [*TEXTS, " 7\t", "\u30007.000", "-07", "+0", "000100", "0" * 30 + "7", "7.0.0", "७", ""]
    numbers, are_numbers = (part.numpy() for part in to_decimal(tf.constant(texts)))
    for text, number, is_number in zip(texts, numbers, are_numbers, strict=True):
        values = pa.array([text])
        if not is_number:
            with pytest.raises(UserError, match="the value must be an integer"):
                encoder.encode(values, location)
            continue
        known = 0 <= number < 100
        assert encoder.encode(values, location)[0] == (number + 2 if known else 1), text


def test_blanks_are_those_that_arrow_trims():
    signs = [chr(code) for code in range(1, 0x3100) if chr(code) not in "+-0123456789"]
    trimmed = pc.equal(pc.utf8_trim_whitespace(pa.array(signs)), "").to_pylist()
    _, are_numbers = to_decimal(tf.constant([f"{sign}7{sign}" for sign in signs]))
    assert are_numbers.numpy().tolist() == trimmed and sum(trimmed) > 20
