"""Encoding of raw columns as the features of a model, within a graph."""

import dataclasses
import os
import pathlib
from typing import Any

import tensorflow as tf

from lmn_tf.serving.raw.checks import check_values
from lmn_tf.serving.raw.hashes import splitmix64
from lmn_tf.serving.raw.id_lookup import IdLookup, vocabulary_table
from lmn_tf.serving.raw.inputs import ColumnInputs, RawInputs
from lmn_tf.serving.raw.numbers import NumberSteps, elapsed_ids, to_times
from lmn_tf.specs.columns import Column
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.lookup import FIRST_ID


class RawEncoder:
    """Encodes raw columns, with the same ids and numbers as a `TableEncoder`.

    Args:
        spec: `FeatureSpec` with all vocabularies and statistics.
        folder: Folder for files of vocabularies, which must exist until the graph is saved.
        histories: Boolean. Whether sequences are read. Defaults to `True`.

    Attributes:
        columns: `RawInputs`.
        tables: Dictionary of the lookup tables, which what is saved must own.

    Raises:
        UserError: If vocabularies or statistics have not been learned.
    """

    def __init__(
        self, spec: FeatureSpec, folder: str | os.PathLike, histories: bool = True
    ) -> None:
        self.spec = spec
        self.columns = RawInputs(spec, histories)
        self.tables: dict[str, Any] = {}
        self._folder = pathlib.Path(folder)
        self._unit = spec.time_unit or "second"
        self._readers = {name: self._reader(spec.feature(name)) for name in self.columns.features}
        self._fields = {
            sequence: {name: self._reader(spec.resolved_field(sequence, name)) for name in fields}
            for sequence, fields in self.columns.fields.items()
        }

    def rows(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns the features of rows, histories as windows, as `make_dataset` yields them.

        Args:
            inputs: Dictionary of the tensors of all inputs, each with one element a row.
        """
        features = self._features(inputs)
        for name in self._fields:
            length, fields = self._history(name, inputs)
            features |= fields
            features[f"{name}/first"] = tf.cumsum(length, exclusive=True)
            features[f"{name}/length"] = length
        return features

    def candidates(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns the features of one user and many candidates.

        Args:
            inputs: Dictionary of the tensors of all inputs: one row of those `of_user`, and of the
                others one row for each candidate.
        """
        count = next(
            tf.shape(inputs[name])[0]
            for name, one in self.columns.inputs.items()
            if not one.of_user
        )
        features = self._features(inputs)
        for feature in self.spec.features:
            if feature.role != "user":
                for key in (feature.name, f"{feature.name}/weights"):
                    if key in features:
                        shape = tf.concat([[count], tf.shape(features[key])[1:]], axis=0)
                        features[key] = tf.broadcast_to(features[key], shape)
        for name in self._fields:
            features |= self._history(name, inputs)[1]
        return features

    def _reader(self, column):
        if column.kind in ("categorical", "multi_value"):
            return _Reader(column, self._unit, ids=IdLookup(self.spec, column, self._table(column)))
        if column.kind == "numeric":
            return _Reader(column, self._unit, numbers=NumberSteps(self.spec, column))
        return _Reader(column, self._unit)

    def _table(self, column):
        """The table of a column's vocabulary, which columns share."""
        if column.lookup.method not in ("vocabulary", "learn"):
            return None
        key = self.spec.lookup_key(column)
        if key not in self.tables:
            self.tables[key] = vocabulary_table(self.spec, column, self._folder)
        return self.tables[key]

    def _features(self, inputs):
        request, features = self._request(inputs), {}
        for name, reader in self._readers.items():
            encoded = reader.encode(_given(self.columns.features[name], inputs))
            if reader.column.kind == "elapsed_time":
                encoded[""] = elapsed_ids(request, encoded[""], reader.column)
            features |= {f"{name}{part}": values for part, values in encoded.items()}
        for feature in self.spec.features:
            if feature.kind == "cross":
                parts = [features[name] for name in feature.of]
                features[feature.name] = cross_ids(parts, feature.lookup.hash)
        return features

    def _request(self, inputs):
        if self.columns.request is None:
            return None
        return to_times(inputs[self.columns.request], self._unit, self.spec.request_time)

    def _history(self, name, inputs):
        """The number of events of each row that are kept, and the fields of these events."""
        sequence, readers = self.spec.sequence(name), self._fields[name]
        given = {field: _given(self.columns.fields[name][field], inputs) for field in readers}
        length = inputs[self.columns.lengths[name]]
        width = tf.shape(next(iter(given.values())).values, tf.int64)[1]
        for field, reader in readers.items():
            some = tf.shape(given[field].values, tf.int64)[1:2]
            rule = f"the input must be as wide as those of the other fields of `{name}`"
            check_values(some == width, reader.column.data_column, rule, some)
        picked = _picked(length, width, name, sequence.max_length, sequence.keep == "newest")
        kept = tf.reduce_sum(tf.cast(picked, tf.int32), axis=1)
        fields = {}
        for field, reader in readers.items():
            encoded = reader.encode(given[field].picked(picked))
            if reader.column.kind == "elapsed_time":
                request = tf.repeat(self._request(inputs), kept)
                encoded[""] = elapsed_ids(request, encoded[""], reader.column)
            fields |= {f"{name}/{field}{part}": values for part, values in encoded.items()}
        return kept, fields


@dataclasses.dataclass
class _Given:
    """The tensors that a column is read from, with one element an item."""

    values: tf.Tensor
    length: tf.Tensor | None
    weights: tf.Tensor | None

    def picked(self, mask):
        parts = (self.values, self.length, self.weights)
        return _Given(*(None if part is None else tf.boolean_mask(part, mask) for part in parts))


def _given(names: ColumnInputs, inputs) -> _Given:
    some = (names.values, names.length, names.weights)
    return _Given(*(None if name is None else inputs[name] for name in some))


@dataclasses.dataclass
class _Reader:
    """Encoder of the items of one column: the rows of a feature, or the events of a field."""

    column: Column
    unit: str
    ids: IdLookup | None = None
    numbers: NumberSteps | None = None

    def encode(self, given):
        """Returns the encoded items, `""`, and their `"/weights"`; of elapsed time, the times."""
        column = self.column
        if column.kind == "categorical":
            return {"": self.ids(given.values)}
        if column.kind == "numeric":
            return {"": self.numbers(given.values)}
        if column.kind == "elapsed_time":
            return {"": to_times(given.values, self.unit, column.data_column)}
        if column.kind == "vector":
            rule = "a number of a vector must be finite as float32 (up to 3.4e38)"
            check_values(tf.math.is_finite(given.values), column.data_column, rule, given.values)
            return {"": given.values}
        return self._lists(given)

    def _lists(self, given):
        column = self.column
        width = tf.shape(given.values, tf.int64)[1]
        mask = _picked(given.length, width, column.data_column, column.max_values, newest=False)
        mask = mask[:, : tf.maximum(tf.reduce_max(tf.concat([given.length, [1]], 0)), 1)]
        mask = mask[:, : column.max_values]
        parts = {"": self.ids(_masked(given.values, mask))}
        if column.weights is not None:
            weights = _masked(given.weights, mask)
            rule = "a weight must be finite as float32 (up to 3.4e38)"
            check_values(tf.math.is_finite(weights), column.weights, rule, weights)
            parts["/weights"] = weights
        # Padding behind the last value is zero; even lists without values have one.
        shape = tf.maximum(tf.shape(mask, tf.int64), [0, 1])
        return {part: tf.scatter_nd(tf.where(mask), cells, shape) for part, cells in parts.items()}


def _masked(values, mask):
    return tf.boolean_mask(values[:, : tf.shape(mask)[1]], mask)


def _picked(length, width, column, limit, newest):
    """Whether each place of padded lists holds a value that is kept, `(items, width)`."""
    rule = "a length must be 0 or more, and at most the width of the lists"
    check_values((length >= 0) & (length <= width), column, rule, length)
    first = tf.maximum(length - limit, 0) if newest else tf.zeros_like(length)
    last = length if newest else tf.minimum(length, limit)
    places = tf.range(width)
    return (places >= first[:, None]) & (places < last[:, None])


def cross_ids(parts: list[tf.Tensor], num_buckets: int) -> tf.Tensor:
    """Returns the ids of a cross, as the function of that name for arrays does.

    Args:
        parts: List of int32 tensors of shape `(rows,)`, at most one of them `(rows, values)`.
        num_buckets: Integer.

    Returns:
        int32 tensor of the shape of the part with lists, otherwise `(rows,)`.
    """
    if any(part.shape.rank == 2 for part in parts):
        parts = [part[:, None] if part.shape.rank == 1 else part for part in parts]
    hashes, padding = tf.zeros((), tf.uint64), tf.constant(False)
    for part in parts:
        hashes = splitmix64(hashes ^ tf.cast(part, tf.uint64))
        padding = padding | (part == 0)
    ids = tf.cast(hashes % tf.constant(num_buckets, tf.uint64), tf.int32) + FIRST_ID
    return tf.where(padding, 0, ids)
