"""Encoding of one column as arrays of numbers and ids."""

import numpy as np
import pyarrow as pa

from lmn_tf.data.encoding.arrow_values import as_float32, as_lists, as_numbers, as_times, pick_lists
from lmn_tf.data.encoding.id_encoder import IdEncoder
from lmn_tf.data.encoding.number_encoder import NumberEncoder
from lmn_tf.data.encoding.ragged import Ragged, starts_of
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.specs.columns import Column
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec


class ColumnEncoder:
    """Encoder of the column of a feature or of a sequence field, by its kind.

    Items are rows for a feature, and events for a field.

    Args:
        spec: `FeatureSpec` with all vocabularies and statistics.
        column: `Feature` or `ResolvedField`, not of kind `cross`.

    Raises:
        UserError: If the vocabulary or statistics of the column have not been learned.
    """

    def __init__(self, spec: FeatureSpec, column: Column) -> None:
        self.column = column
        self.name = column.name
        self.data_column = column.data_column
        self.kind = column.kind
        self._time_unit = spec.time_unit or "second"
        self._ids = None
        self._numbers = None
        if column.kind in ("categorical", "multi_value"):
            by_number = not spec.assets.text_ids
            vocabulary = spec.vocabulary(column)
            self._ids = IdEncoder(column.name, column.lookup, vocabulary, column.default, by_number)
        elif column.kind == "numeric":
            statistics = spec.assets.statistics.get(column.key)
            if column.needs_statistics and not statistics:
                raise UserError(
                    f"the statistics of `{column.name}` must be learned from training data first."
                )
            self._numbers = NumberEncoder(column.name, column.transform, statistics, column.default)

    @property
    def columns(self) -> tuple[str, ...]:
        """Data columns that are read."""
        weights = self.column.weights
        return (self.data_column,) if weights is None else (self.data_column, weights)

    def encode(
        self, values: pa.Array, location: SourceLocation, weights: pa.Array | None = None
    ) -> np.ndarray | Ragged:
        """Returns the encoded items.

        Args:
            values: Arrow array with one entry per item.
            location: `SourceLocation` of the values.
            weights: Arrow array with a list of weights for each item, or `None`.
                Defaults to `None`.

        Returns:
            int32 or float32 array of items; float32 `(items, size)` for a vector; a `Ragged` for
            multi_value; int64 microseconds for elapsed_time, which also needs the request time.

        Raises:
            UserError: If a value breaks a rule of the spec.
        """
        if self.kind == "categorical":
            return self._ids.encode(values, location)
        if self.kind == "numeric":
            return self._numbers.encode(values, location)
        if self.kind == "elapsed_time":
            return as_times(values, location, self._time_unit)
        if self.kind == "vector":
            return self._vectors(values, location)
        return self._multi_values(values, location, weights)

    def _multi_values(self, values, location, weights):
        flat, lengths = as_lists(values, location, self.column.separator)
        all_lengths = lengths
        flat, lengths, index = pick_lists(flat, lengths, self.column.max_values, newest=False)
        inner = location.within(lengths)
        ids = self._ids.encode(flat, inner)
        numbers = None
        if weights is not None:
            numbers = self._weights(weights, location, all_lengths, index)
        return Ragged(ids, starts_of(lengths), lengths.astype(np.int32), numbers)

    def _weights(self, weights, location, lengths, index):
        location = SourceLocation(location.file, self.column.weights, location.row)
        flat, weight_lengths = as_lists(weights, location, self.column.separator)
        if not np.array_equal(weight_lengths, lengths):
            at = int(np.argmax(weight_lengths != lengths))
            raise location.error(
                at,
                f"there must be one weight for each value of `{self.data_column}` ({lengths[at]})",
                int(weight_lengths[at]),
            )
        numbers = as_numbers(flat, location.within(lengths))
        weights = as_float32(numbers, location.within(lengths), "a weight")
        return weights if index is None else weights[index]

    def _vectors(self, values, location):
        size = self.column.size
        flat, lengths = as_lists(values, location, self.column.separator)
        wrong = lengths != size
        if wrong.any():
            at = int(np.argmax(wrong))
            raise location.error(
                at, f"a vector must have {size} numbers", f"{int(lengths[at])} numbers"
            )
        inner = location.within(lengths)
        numbers = as_float32(as_numbers(flat, inner), inner, "a number of a vector")
        return numbers.reshape(-1, size)
