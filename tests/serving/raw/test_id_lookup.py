import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from id_forms import TEXTS

from lmn_tf.data.encoding.id_encoder import IdEncoder
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.serving.raw.id_lookup import IdLookup, vocabulary_table
from lmn_tf.serving.raw.texts import MISSING_TEXT
from lmn_tf.specs.feature_spec import FeatureSpec

LOCATION = SourceLocation.of_rows("rows", "c", 0)


def lookup_of(folder, text_ids=True, **column):
    spec = {"spec_version": 1, "name": "ids", "labels": [{"name": "click"}]}
    feature = {"name": "c", "role": "item", "kind": "categorical", **column}
    spec = FeatureSpec.from_dict({**spec, "features": [feature]})
    spec.assets.text_ids = text_ids
    column = spec.feature("c")
    values = spec.vocabulary(column)
    table = None if values is None else vocabulary_table(spec, column, folder)
    encoder = IdEncoder("c", column.lookup, values, column.default, not text_ids)
    return IdLookup(spec, column, table), encoder


@pytest.mark.parametrize("unknown", ["own_id", "padding"])
@pytest.mark.parametrize(
    ("lookup", "default"),
    [
        ({"hash": 1000}, "007"),
        ({"hash": 7}, None),
        ({"vocabulary": ["007", "7", " a"]}, "7"),
        ({"vocabulary": ["7", "", "a\nb", "c\r"]}, None),
        ({"vocabulary": [7, -5, 2**62]}, 7),
    ],
)
def test_ids_are_those_of_the_pipeline(tmp_path, lookup, default, unknown):
    given = {} if default is None else {"default": default}
    found, encoder = lookup_of(tmp_path, lookup={**lookup, "unknown": unknown}, **given)
    texts = [*TEXTS, "", "a\nb", "c\r", "c", None]
    want = encoder.encode(pa.array(texts), LOCATION)
    texts = tf.constant([MISSING_TEXT if text is None else text for text in texts])
    np.testing.assert_array_equal(found(texts), want)


@pytest.mark.parametrize("lookup", [{"vocabulary": ["7"]}, {"identity": 8}])
@pytest.mark.parametrize("text", ["8", MISSING_TEXT])
def test_an_unknown_value_is_refused(tmp_path, lookup, text):
    found, _ = lookup_of(tmp_path, lookup={**lookup, "unknown": "error"})
    with pytest.raises(tf.errors.InvalidArgumentError, match="`c`: the value must be known to the"):
        found(tf.constant(["7", text]))


def test_an_identity_reads_integers_alone(tmp_path):
    found, _ = lookup_of(tmp_path, lookup={"identity": 8})
    assert found(tf.constant(["7", "+07.0", "8", MISSING_TEXT])).numpy().tolist() == [9, 9, 1, 1]
    with pytest.raises(tf.errors.InvalidArgumentError, match="column `c`: the value must be an in"):
        found(tf.constant(["7", "seven"]))


def test_runs_from_before_ids_were_texts_find_integers_by_their_number(tmp_path):
    found, encoder = lookup_of(tmp_path, False, lookup={"vocabulary": ["007", "8", "08"]})
    assert encoder.encode(pa.array([7, 8, 9]), LOCATION).tolist() == [2, 4, 1]
    assert found(tf.constant(["7", "8", "9", "007"])).numpy().tolist() == [2, 4, 1, 2]
