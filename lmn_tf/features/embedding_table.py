"""Embedding table with look-up and combination of rows."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.tables.placement import PLACEMENTS, add_table, read_rows
from lmn_tf.distribute.tables.rows import ChunkedStorageMixin
from lmn_tf.layers.base import add_replicated_loss, check_choice

_INITIALIZERS = {
    "uniform": lambda scale: keras.initializers.RandomUniform(-scale, scale),
    "normal": lambda scale: keras.initializers.RandomNormal(stddev=scale),
    "zeros": lambda scale: keras.initializers.Zeros(),
}
_COMBINERS = ("mean", "sum", "sqrtn")

# Up to this many rows a table has a dense gradient, and a list of values is combined as
# (weights by row) @ table. Measured on two CPU cores: a training step on lists of 6 values takes
# 8 ms where a gather takes 48 ms at 20 rows, 16 against 59 at 64 rows, 62 against 55 at 256 rows;
# one on single values 7 ms where merging a sparse gradient takes 17.
_FEW_ROWS = 128


@keras.saving.register_keras_serializable(package="lmn_tf")
class EmbeddingTable(ChunkedStorageMixin, keras.layers.Layer):
    """Trainable table with look-up of rows, and combination of the rows of a list of ids.

    Id 0 is padding: its embedding is exactly 0, without gradient, and it does not count in a
    combined list. The gradient of the table is sparse, or dense for a table with few rows.

    `"mean"` divides the weighted sum of the rows of a list by the sum of weights, `"sqrtn"` by the
    square root of the sum of squared weights, and `"sum"` does not divide.

    Args:
        vocabulary_size: Integer. Number of rows, including the ids 0 and 1.
        embedding_dim: Integer. Width of a row.
        combiner: One of `"mean"`, `"sum"`, `"sqrtn"`. Defaults to `"mean"`.
        initializer: One of `"uniform"`, `"normal"` or `"zeros"`. Defaults to `"normal"`.
        initializer_scale: Float above 0. Half the range of uniform, or standard deviation of normal
            initial values. Defaults to `0.05`.
        regularizer: Float. Adds `regularizer` times the squared norms of the rows that were looked
            up, summed over look-ups and averaged over the batch, to the loss: a row decays as
            often as it is read, and other rows do not change (our choice).
            Defaults to `0.0`.
        placement: `"replicated"` or `"row_wise"`. Placement of the rows in distributed training.
            Tables of up to 128 rows, which are combined by rows, are always replicated.
            Defaults to `"replicated"`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        ids: Integer tensor of shape `(...)`, or `(..., values)` with `combine`.
        weights: Float tensor shaped like `ids`, or `None`. Only with `combine`.
        combine: Boolean. Whether the last axis of `ids` is a list to combine.
            Defaults to `False`.
        counts: Optional float tensor with a number for each id or list: the number of rows of the
            batch that share the look-up, its weight in the regularizer. Defaults to 1.
        batch: Optional integer scalar tensor. Number of rows of the batch, over which the
            regularizer is averaged. Defaults to the first axis of `ids`.

    Returns:
        Float tensor of shape `(..., embedding_dim)`.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> table = EmbeddingTable(vocabulary_size=5, embedding_dim=3)
    >>> table(np.array([[0, 2], [4, 0]])).shape
    TensorShape([2, 2, 3])
    >>> table(np.array([[0, 2], [4, 0]]), combine=True).shape
    TensorShape([2, 3])
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int,
        combiner: str = "mean",
        initializer: str = "normal",
        initializer_scale: float = 0.05,
        regularizer: float = 0.0,
        placement: str = "replicated",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # `counts` would be rounded, in bfloat16 from 256 on. Weights are cast in `call`.
        self.autocast = False
        for name, value in (("vocabulary_size", vocabulary_size), ("embedding_dim", embedding_dim)):
            if value < 1:
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value}")
        if combiner not in _COMBINERS:
            raise ValueError(
                f"`combiner` must be one of {', '.join(_COMBINERS)}. Received: combiner={combiner}"
            )
        if initializer not in _INITIALIZERS:
            raise ValueError(
                f"`initializer` must be one of {', '.join(_INITIALIZERS)}. "
                f"Received: initializer={initializer}"
            )
        if not 0 < initializer_scale < float("inf"):
            raise ValueError(
                "`initializer_scale` must be a finite number above 0. "
                f"Received: initializer_scale={initializer_scale}"
            )
        check_choice("placement", placement, PLACEMENTS)
        self.vocabulary_size = vocabulary_size
        self.embedding_dim = embedding_dim
        self.combiner = combiner
        self.initializer = initializer
        self.initializer_scale = initializer_scale
        self.regularizer = regularizer
        self.placement = placement

    @property
    def has_few_rows(self) -> bool:
        """Whether the table is read as a whole, with a dense gradient, rather than row by row."""
        return self.vocabulary_size <= _FEW_ROWS

    def build(self, input_shape: Any = None) -> None:
        # Without autocasting: a half-precision copy of the whole table in each step would take
        # longer than the step. Rows are cast after they are read.
        self.embeddings = add_table(
            self,
            "embeddings",
            (self.vocabulary_size, self.embedding_dim),
            _INITIALIZERS[self.initializer](self.initializer_scale),
            "replicated" if self.has_few_rows else self.placement,
        )
        self.built = True

    def call(
        self,
        ids: tf.Tensor,
        weights: tf.Tensor | None = None,
        combine: bool = False,
        counts: tf.Tensor | None = None,
        batch: tf.Tensor | None = None,
    ) -> tf.Tensor:
        lookups = _Lookups(ids, combine, counts, batch) if self.regularizer else None
        present = tf.cast(tf.not_equal(ids, 0), self.compute_dtype)
        if not combine:
            return self._rows(ids, present, lookups)
        if weights is not None:
            present *= tf.cast(weights, self.compute_dtype)
        share = self._share(present)
        if self.has_few_rows:
            return self._combine_few(ids, share, lookups)
        return tf.reduce_sum(self._rows(ids, share, lookups), axis=-2)

    def _rows(self, ids, factors, lookups):
        """Rows of the ids times `factors`, which are 0 at id 0."""
        if self.has_few_rows:
            rows = _gather_few(tf.convert_to_tensor(self.embeddings.value), ids)
        else:
            rows = read_rows(self.embeddings, ids)
        rows = tf.cast(rows, self.compute_dtype)
        if self.regularizer:
            squares = tf.reduce_sum(tf.square(tf.cast(rows, tf.float32)), axis=-1)
            self._add_decay(tf.reduce_sum(squares * lookups.times), lookups.batch)
        return rows * factors[..., None]

    def _share(self, weights):
        """Weight of each value in the combined row."""
        if self.combiner == "sum":
            return weights
        norm = weights if self.combiner == "mean" else tf.square(weights)
        norm = tf.reduce_sum(norm, axis=-1, keepdims=True)
        if self.combiner == "sqrtn":
            # The square root has no finite slope at 0, so empty lists are excluded.
            norm = tf.where(norm > 0, tf.sqrt(tf.where(norm > 0, norm, 1.0)), 0.0)
        return tf.math.divide_no_nan(weights, norm)

    def _combine_few(self, ids, share, lookups):
        rows = self.vocabulary_size
        shape = tf.shape(ids)
        lists = tf.math.reduce_prod(shape[:-1])
        cells = tf.range(lists)[:, None] * rows + tf.reshape(
            tf.cast(ids, tf.int32), [lists, shape[-1]]
        )
        by_row = tf.math.unsorted_segment_sum(
            tf.reshape(share, [-1]), tf.reshape(cells, [-1]), lists * rows
        )
        by_row = tf.reshape(by_row, [lists, rows])
        table = tf.cast(self.embeddings.value, self.compute_dtype)
        if self.regularizer:
            squares = tf.reduce_sum(tf.square(tf.cast(table, tf.float32)), axis=-1)
            times = tf.math.unsorted_segment_sum(
                tf.reshape(lookups.times, [-1]), tf.reshape(tf.cast(ids, tf.int32), [-1]), rows
            )
            self._add_decay(tf.reduce_sum(squares * times), lookups.batch)
        combined = tf.matmul(by_row, table)
        combined = tf.reshape(combined, tf.concat([shape[:-1], [self.embedding_dim]], axis=0))
        return tf.ensure_shape(combined, [*ids.shape[:-1], self.embedding_dim])

    def _add_decay(self, squares, batch):
        mean = squares / tf.cast(tf.maximum(batch, 1), tf.float32)
        add_replicated_loss(self, self.regularizer * mean, count=batch)

    def compute_output_shape(
        self,
        ids_shape: tuple[int | None, ...],
        weights_shape: tuple[int | None, ...] | None = None,
        combine: bool = False,
        counts_shape: tuple[int | None, ...] | None = None,
        batch_shape: tuple[int | None, ...] | None = None,
    ) -> tuple[int | None, ...]:
        lead = tuple(ids_shape)[:-1] if combine else tuple(ids_shape)
        return (*lead, self.embedding_dim)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_dim": self.embedding_dim,
            "combiner": self.combiner,
            "initializer": self.initializer,
            "initializer_scale": self.initializer_scale,
            "regularizer": self.regularizer,
            "placement": self.placement,
        }


class _Lookups:
    """Weight of each look-up in the regularizer, and the number of rows of the average."""

    def __init__(self, ids, combine, counts, batch):
        self.times = tf.cast(tf.not_equal(ids, 0), tf.float32)
        if counts is not None:
            counts = tf.cast(counts, tf.float32)
            self.times *= counts[..., None] if combine else counts
        self.batch = tf.shape(ids)[0] if batch is None else batch


@tf.custom_gradient
def _gather_few(table, ids):
    """A gather whose gradient is dense, without that of id 0."""

    def gradient(upstream):
        rows = tf.where(tf.equal(ids, 0), -1, tf.cast(ids, tf.int32))
        return tf.math.unsorted_segment_sum(upstream, rows, tf.shape(table)[0]), None

    return tf.gather(table, ids), gradient
