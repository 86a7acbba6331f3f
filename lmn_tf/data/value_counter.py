"""Counts distinct values in bounded memory."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmn_tf.data.arrow_values import as_keys
from lmn_tf.data.id_encoder import one_text_type
from lmn_tf.data.place import Place

_PENDING = 1 << 20


class ValueCounter:
    """Counts integers or texts, exactly up to `limit` distinct values.

    Beyond that the rarer half of the values is forgotten (frequent values are kept, their counts
    exact since they were last met anew): memory stays bounded, whatever the data.

    Args:
        limit: Integer. Distinct values held at once. Defaults to 16,777,216.
    """

    def __init__(self, limit: int = 1 << 24):
        self._limit = limit
        self._pending: list[pa.Table] = []
        self._rows = 0
        self._kind = None

    def add(self, values: pa.Array, place: Place, times: np.ndarray | None = None) -> None:
        """Counts values, missing ones apart.

        Args:
            values: Arrow array of integers or text.
            place: Where they come from.
            times: Integer array: how often each value counts. Defaults to `None`: once.

        Raises:
            UserError: The values are no ids, or text where integers were counted before.
        """
        keys = as_keys(values, place)
        if not len(keys) or keys.null_count == len(keys):
            return
        kind = pa.int64() if pa.types.is_integer(keys.type) else pa.string()
        if self._kind is None:
            self._kind = kind
        elif self._kind != kind:
            raise place.column_error(
                f"must hold {self._kind}, as the columns or files before it that share its "
                "vocabulary",
                kind,
            )
        if pa.types.is_dictionary(keys.type):
            distinct, counts = _count_coded(keys, times)
        else:
            distinct, counts = _count_plain(keys, times)
        self._pending.append(pa.table({"value": distinct, "count": counts}))
        self._rows += len(distinct)
        if self._rows > _PENDING + self._held():
            self._merge()

    def most_frequent(self, min_count: int = 1, max_size: int | None = None) -> list:
        """Returns the values by falling count, and among equal counts by rising value."""
        if not self._pending:
            return []
        self._merge()
        table = self._pending[0]
        table = table.filter(pc.greater_equal(table["count"], min_count))
        order = pc.sort_indices(table, sort_keys=[("count", "descending"), ("value", "ascending")])
        return table["value"].take(order[:max_size]).to_pylist()

    def _held(self):
        return self._pending[0].num_rows if self._pending else 0

    def _merge(self):
        table = pa.concat_tables(self._pending)
        table = table.group_by("value").aggregate([("count", "sum")])
        table = table.rename_columns({"count_sum": "count"})
        if table.num_rows > self._limit:
            order = pc.sort_indices(
                table, sort_keys=[("count", "descending"), ("value", "ascending")]
            )
            table = table.take(order[: self._limit // 2])
        self._pending = [table]
        self._rows = table.num_rows


def _count_coded(keys, times):
    valid = keys.indices.drop_null().to_numpy()
    if times is not None and keys.null_count:
        times = times[pc.is_valid(keys).to_numpy(zero_copy_only=False)]
    counts = np.bincount(valid, weights=times, minlength=len(keys.dictionary)).astype(np.int64)
    met = np.flatnonzero(counts)
    return one_text_type(keys.dictionary).take(pa.array(met)), pa.array(counts[met])


def _count_plain(keys, times):
    if times is None:
        counted = pc.value_counts(keys.drop_null())
        return counted.field("values"), counted.field("counts")
    table = pa.table({"value": keys, "count": np.asarray(times, np.int64)})
    table = table.filter(pc.and_(pc.is_valid(table["value"]), pc.greater(table["count"], 0)))
    table = table.group_by("value").aggregate([("count", "sum")]).combine_chunks()
    return table["value"].combine_chunks(), table["count_sum"].combine_chunks()
