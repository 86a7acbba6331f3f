"""Ids of texts within a graph."""

import pathlib
from typing import Any

import pyarrow as pa
import tensorflow as tf

from lmn_tf.data.encoding.id_encoder import IdEncoder
from lmn_tf.data.encoding.key_index import KeyIndex
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.serving.raw.checks import check_values
from lmn_tf.serving.raw.hashes import hash_texts
from lmn_tf.serving.raw.texts import MISSING_TEXT, to_decimal
from lmn_tf.specs.columns import Column
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.lookup import FIRST_ID, REFUSED_ID


class IdLookup:
    """Maps the texts of a column to the ids that `IdEncoder` gives them.

    Args:
        spec: `FeatureSpec` with all vocabularies.
        column: Feature or resolved field of kind categorical or multi_value.
        table: Lookup table that `vocabulary_table` returned for its vocabulary, or `None` where
            the lookup has none.
    """

    def __init__(self, spec: FeatureSpec, column: Column, table: Any = None) -> None:
        self._column = column
        self._lookup = column.lookup
        self._table = table
        self._unknown = column.lookup.unknown_id
        self._missing = _missing_id(spec, column)

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns the ids.

        Args:
            texts: String tensor of shape `(values,)`; `MISSING_TEXT` stands for a missing value.

        Returns:
            int32 tensor of shape `(values,)`.
        """
        missing = tf.equal(texts, MISSING_TEXT)
        ids = tf.where(missing, self._missing, self._ids(texts, missing))
        if REFUSED_ID in (self._unknown, self._missing):
            rule = f"the value must be known to the lookup of `{self._column.name}`"
            check_values(ids != REFUSED_ID, self._column.data_column, rule, texts)
        return ids

    def _ids(self, texts, missing):
        lookup = self._lookup
        if lookup.hash is not None:
            # Integers are hashed in a cheaper way, so that missing values take that one.
            hashes = hash_texts(tf.where(missing, "0", texts))
            return tf.cast(hashes % tf.constant(lookup.hash, tf.uint64), tf.int32) + FIRST_ID
        if lookup.identity is not None:
            numbers, are_numbers = to_decimal(tf.where(missing, "0", texts))
            column = self._column.data_column
            check_values(are_numbers, column, "the value must be an integer", texts)
            known = (numbers >= 0) & (numbers < lookup.identity)
        else:
            numbers = self._table.lookup(texts)
            known = numbers >= 0
        return tf.where(known, tf.cast(numbers, tf.int32) + FIRST_ID, self._unknown)


def vocabulary_table(spec: FeatureSpec, column: Column, folder: pathlib.Path) -> Any:
    """Returns the lookup table from the texts of a vocabulary to their positions, -1 for others.

    Args:
        spec: `FeatureSpec` with all vocabularies.
        column: Feature or resolved field whose lookup has a vocabulary.
        folder: Folder for the file of the vocabulary, which must exist until the table is saved.
    """
    values = spec.vocabulary(column)
    texts = [str(value) for value in values]
    numbers = {} if spec.assets.text_ids else _positions_by_number(values)
    # TensorFlow reads lines without carriage returns, and no empty ones.
    if numbers or any(not text or "\n" in text or "\r" in text for text in texts):
        positions = dict(zip(texts, range(len(texts)), strict=True)) | numbers
        initializer = tf.lookup.KeyValueTensorInitializer(
            list(positions), list(positions.values()), tf.string, tf.int64
        )
    else:
        path = folder / f"{spec.lookup_key(column)}.txt"
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8", newline="\n")
        initializer = tf.lookup.TextFileInitializer(
            str(path),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
    return tf.lookup.StaticHashTable(initializer, default_value=-1)


def _positions_by_number(values):
    """Positions that runs of versions before ids were texts give to integers."""
    try:
        numbers = pa.array([int(value) for value in values], pa.int64())
    except (ValueError, OverflowError):
        return {}
    positions = KeyIndex(values, by_number=True).find(numbers).tolist()
    return dict(zip(map(str, numbers.to_pylist()), positions, strict=True))


def _missing_id(spec, column):
    vocabulary = spec.vocabulary(column)
    encoder = IdEncoder(
        column.name, column.lookup, vocabulary, column.default, not spec.assets.text_ids
    )
    location = SourceLocation.of_rows("", column.data_column, 0)
    try:
        return int(encoder.encode(pa.array([None], pa.string()), location)[0])
    except UserError:  # of a lookup that refuses missing values, too
        return REFUSED_ID
