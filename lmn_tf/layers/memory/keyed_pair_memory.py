"""Memory of the pairs of an event and the candidate, of which keys select the rows or columns."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from lmn_tf.distribute.tables.placement import PLACEMENTS, add_table, read_weighted_sum
from lmn_tf.layers.base import check_axes, check_choice, check_positive_integer
from lmn_tf.layers.history_layer import HistoryLayer, mask_of
from lmn_tf.layers.memory.slot_memory import SlotMemoryMixin
from lmn_tf.ops.sequence.by_event import by_event
from lmn_tf.ops.sequence.valid_positions import ValidPositions
from lmn_tf.specs.lookup import FIRST_ID

_KINDS = ("ids", "keys")


class SparseCodes(NamedTuple):
    """Codes with few entries that are not 0, of `N` events or candidates.

    Attributes:
        ids: Integer tensor of shape `(N, k)`. Where these entries are.
        weights: float32 tensor of shape `(N, k)`. The entries, which sum to 1.
    """

    ids: tf.Tensor
    weights: tf.Tensor


class SlotReading(NamedTuple):
    """What `N` events or candidates have read, as of one head.

    Attributes:
        slots: Integer tensor of shape `(N, 1, k)`.
        weights: float32 tensor of shape `(N, 1, k)`.
    """

    slots: tf.Tensor
    weights: tf.Tensor


@keras.saving.register_keras_serializable(package="lmn_tf")
class KeyedPairMemory(SlotMemoryMixin, HistoryLayer):
    """Sums the values of the pairs of each event of a history and the candidate, found by keys.

    Computes `z = sum_j a_j^T V b` with a sparse code `a_j` of each event, a sparse code `b` of the
    candidate, and a table `V` of `num_rows * num_columns` values that all users share. It is
    `PairMemory` with codes in the place of ids, and a bilinear form with sparse codes in the place
    of vectors.

    The code of a vector `x` is the softmax of its scores `norm(W x) norm(K)^T / sqrt(d)` over the
    `top_k` best keys of `K`, and 0 elsewhere, with layer normalization of the query and of the
    keys. Vectors that are alike have codes that are alike: they share what their pairs learn, and
    unknown ids have values too. Where rows or columns are ids, their code is the one-hot vector of
    the id, and the ids 0 (padding) and 1 (unknown) have no values.

    The sum over events comes first: `z = (sum_j a_j)^T V b`. So many candidates of one user cost
    `O(num_columns)` each, or with ids of candidates `O(num_rows)`, whatever the length of the
    history.

    All values start at 0, so that a model starts as the same model without this memory; keys and
    queries have a gradient as soon as values do. As those of `PairMemory`, values are best trained
    by `RowWiseSGD`. A slot is a row of `V`, or with ids of candidates a column.

    Args:
        num_rows: Integer. Number of keys, or of ids, of events.
        num_columns: Integer. Number of keys, or of ids, of candidates.
        row_codes: `"keys"` or `"ids"`: what events are given by. Defaults to `"keys"`.
        column_codes: `"keys"` or `"ids"`: what candidates are given by. Defaults to `"keys"`.
        top_k: Integer. Number of keys in a code, capped at all keys. Defaults to `4`.
        num_values: Integer. Width of a value, the number of logits. Defaults to `1`.
        pooling: `"sum"`, `"mean"` or `"sqrtn"` over the events of a history. Defaults to `"sum"`.
        value_initializer: Initializer of the values. Defaults to `"zeros"`.
        memory_placement: `"replicated"` or `"row_wise"`. Placement of the values in a distributed
            run. Defaults to `"replicated"`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        rows: Float tensor of shape `(batch, length, d)`, or `(events, d)` with `windows`; for
            `row_codes="ids"` an integer tensor without the last axis.
        columns: Float tensor of shape `(batch, d)`; for `column_codes="ids"` an integer tensor of
            shape `(batch,)`.
        mask: Optional boolean tensor of shape `(batch, length)`, true where valid.
        windows: Optional `Windows` of the rows of the batch into events that they share.
        training: Boolean. Whether a gradient will be needed.

    Returns:
        Float tensor of shape `(batch, num_values)`; exactly 0 for an empty history.

    Raises:
        ValueError: If an argument is out of its range, neither axis has keys, or an input has
            another number of axes.

    Example:

    >>> memory = KeyedPairMemory(num_rows=8, num_columns=5, column_codes="ids")
    >>> memory(np.ones((2, 3, 4)), np.array([4, 2])).shape
    TensorShape([2, 1])

    Reference:
        - Ours. The keys of an axis are those of "Large Memory Layers with Product Keys", Lample et
          al., NeurIPS 2019, searched for rows with events and for columns with candidates.
    """

    def __init__(
        self,
        num_rows: int,
        num_columns: int,
        row_codes: str = "keys",
        column_codes: str = "keys",
        top_k: int = 4,
        num_values: int = 1,
        pooling: str = "sum",
        value_initializer: Any = "zeros",
        memory_placement: str = "replicated",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        sizes = {"num_rows": num_rows, "num_columns": num_columns}
        for name, value in (sizes | {"top_k": top_k, "num_values": num_values}).items():
            check_positive_integer(name, value)
        check_choice("row_codes", row_codes, _KINDS)
        check_choice("column_codes", column_codes, _KINDS)
        if row_codes == column_codes == "ids":
            raise ValueError(
                "`row_codes` or `column_codes` must be 'keys': pairs of ids have a `PairMemory`. "
                "Received: row_codes='ids', column_codes='ids'"
            )
        check_choice("pooling", pooling, ("sum", "mean", "sqrtn"))
        check_choice("memory_placement", memory_placement, PLACEMENTS)
        self.num_rows = num_rows
        self.num_columns = num_columns
        self.row_codes = row_codes
        self.column_codes = column_codes
        self.top_k = top_k
        self.num_values = num_values
        self.pooling = pooling
        self.value_initializer = keras.initializers.get(value_initializer)
        self.memory_placement = memory_placement
        self._row_keys = self._make_keys("row", num_rows, row_codes)
        self._column_keys = self._make_keys("column", num_columns, column_codes)

    def _make_keys(self, axis, count, codes):
        if codes == "ids":
            return None
        return _Keys(count, self.top_k, dtype="float32", name=f"{axis}_keys")

    @property
    def memory_size(self) -> int:
        """Number of slots: rows of values, or columns if those are ids."""
        return self.num_columns if self._reads_columns else self.num_rows

    @property
    def _reads_columns(self):
        """Whether candidates read the table, of whose values events select; else the reverse."""
        return self.column_codes == "ids"

    @property
    def _width(self):
        """Number of values of a slot, each `num_values` wide, of which the other axis selects."""
        return self.num_rows if self._reads_columns else self.num_columns

    def build(
        self,
        rows_shape: tuple[int | None, ...],
        columns_shape: tuple[int | None, ...],
    ) -> None:
        for keys, shape in ((self._row_keys, rows_shape), (self._column_keys, columns_shape)):
            if keys is not None:
                keys.build((None, shape[-1]))
        self.memory_values = add_table(
            self,
            "memory_values",
            (self.memory_size, self._width * self.num_values),
            self.value_initializer,
            self.memory_placement,
        )
        self.built = True

    def call(
        self,
        rows: tf.Tensor,
        columns: tf.Tensor,
        mask: tf.Tensor | None = None,
        windows: ValidPositions | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        rows = tf.convert_to_tensor(rows)
        if windows is None:
            axes = "(batch, length)" if self._row_keys is None else "(batch, length, d)"
            check_axes("rows", rows.shape, axes)
            windows = ValidPositions(mask_of(rows, mask), rows)
            rows = windows.take(rows)
        row_codes = _codes(self._row_keys, rows)  # of E events
        column_codes = _codes(self._column_keys, tf.convert_to_tensor(columns))  # of B candidates
        read, code = row_codes, column_codes
        if self._reads_columns:
            read, code = code, read
        # `training=None` (a custom loop) may still ask for gradients.
        values = read_weighted_sum(self.memory_values, *read, training is not False)
        code = _dense(
            code, self._width
        )  # (E, width) or (B, width), as `values` (B, ...) or (E, ...)
        pool = getattr(windows, f"event_{self.pooling}")
        if self._reads_columns:
            code = pool(by_event(code))
        else:
            values = pool(by_event(values))
        values = tf.reshape(values, [-1, self._width, self.num_values])  # (B, width, num_values)
        if self._watcher is not None:
            self._watch(read, None if self._reads_columns else windows.event_weights)
        return tf.cast(tf.einsum("bk,bkv->bv", code, values), self.compute_dtype)

    def _watch(self, read, counts):
        known = tf.reduce_sum(read.weights, axis=-1) > 0
        if counts is not None:
            known = tf.where(known, counts, tf.zeros_like(counts))
        self._watcher(SlotReading(read.ids[:, None], read.weights[:, None]), known)

    def compute_output_shape(
        self, rows_shape: tuple[int | None, ...], columns_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (columns_shape[0], self.num_values)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_rows": self.num_rows,
            "num_columns": self.num_columns,
            "row_codes": self.row_codes,
            "column_codes": self.column_codes,
            "top_k": self.top_k,
            "num_values": self.num_values,
            "pooling": self.pooling,
            "value_initializer": keras.initializers.serialize(self.value_initializer),
            "memory_placement": self.memory_placement,
        }


class _Keys(keras.layers.Layer):
    """The keys of an axis, and the map from vectors to their queries."""

    def __init__(self, num_keys, top_k, **kwargs):
        super().__init__(**kwargs)
        self.num_keys = num_keys
        self.top_k = min(top_k, num_keys)

    def build(self, vectors_shape):
        width = vectors_shape[-1]
        self.query = keras.layers.Dense(width, name="query", dtype="float32")
        self.query_normalization = keras.layers.LayerNormalization(
            name="query_normalization", dtype="float32"
        )
        self.key_normalization = keras.layers.LayerNormalization(
            epsilon=1e-6, center=False, name="key_normalization", dtype="float32"
        )
        for part in (self.query, self.query_normalization, self.key_normalization):
            part.build((None, width))
        limit = width**-0.5
        self.keys = self.add_weight(
            shape=(self.num_keys, width),
            initializer=keras.initializers.RandomUniform(-limit, limit),
            name="keys",
        )

    def call(self, vectors):
        queries = self.query_normalization(self.query(vectors))  # (N, d)
        keys = self.key_normalization(tf.convert_to_tensor(self.keys))  # (m, d)
        scores = tf.matmul(queries, keys, transpose_b=True) * keys.shape[-1] ** -0.5  # (N, m)
        best, ids = tf.math.top_k(scores, self.top_k)  # (N, k) each
        return SparseCodes(ids, tf.nn.softmax(best))


def _codes(keys, given):
    """Returns the codes of vectors `(N, d)`, or those of ids `(N,)`."""
    if keys is None:
        weights = tf.cast(given >= FIRST_ID, tf.float32)
        return SparseCodes(given[:, None], weights[:, None])
    return keys(given)


def _dense(codes, size):
    """Returns codes as vectors, `(N, size)`."""
    count = tf.shape(codes.ids)[0]
    rows = tf.broadcast_to(tf.range(count)[:, None], tf.shape(codes.ids))
    places = tf.stack([rows, tf.cast(codes.ids, tf.int32)], axis=-1)  # (N, k, 2)
    return tf.ensure_shape(tf.scatter_nd(places, codes.weights, [count, size]), [None, size])
