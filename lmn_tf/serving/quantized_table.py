"""Tables of an export whose rows are stored in fewer bits."""

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.distribute.tables.row_wise_table import RowWiseTable
from lmn_tf.features.embedding_table import EmbeddingTable
from lmn_tf.keras_internals import all_layers
from lmn_tf.layers.memory.product_key_memory import ProductKeyMemory
from lmn_tf.ops.rows.weighted_gather import sum_in_chunks
from lmn_tf.specs.errors import UserError

# Of a table that is read, and of one that is stored as it is.
FULL = "float32"
DTYPES = (FULL, "bfloat16", "int8")
_LARGEST = 127
_ROWS_AT_A_TIME = 2**16


class QuantizedTable(RowWiseTable):
    """A copy of a table that stores each number in one byte or two.

    As int8, a row is stored as integers from -127 to 127 and a float32 scale, `max|row| / 127`,
    so that a number is off by at most half of the scale. As bfloat16, a number keeps 8 of its 24
    significant bits, and rows have no scale. Rows are read from the table as they are stored, and
    become float32 afterwards.

    Args:
        table: Keras variable of shape `(n, d)`.
        dtype: `"int8"` or `"bfloat16"`.

    Attributes:
        variables: List of the `tf.Variable`s that it consists of: the rows, and the scales of int8.

    Example:

    >>> table = QuantizedTable(keras.Variable([[0.5, -1.27], [0.0, 0.0]]), "int8")
    >>> table.lookup([0, 1]).numpy().round(6).tolist()
    [[0.5, -1.2699999809265137], [0.0, 0.0]]
    """

    def __init__(self, table: keras.Variable, dtype: str) -> None:
        self._scales = None
        if dtype == "int8":
            rows, scales = quantized_rows(table.numpy())
            self._scales = tf.Variable(scales, trainable=False, name=f"{table.name}_scales")
        else:
            rows = tf.cast(table.value, dtype)
        self._rows = tf.Variable(rows, trainable=False, name=table.name)
        self.variables = [self._rows] if self._scales is None else [self._rows, self._scales]

    def lookup(self, ids: tf.Tensor) -> tf.Tensor:
        rows = tf.cast(tf.gather(self._rows, ids), tf.float32)
        return rows if self._scales is None else rows * tf.gather(self._scales, ids)[..., None]

    def weighted_sum(self, ids: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        ids, weights = tf.convert_to_tensor(ids), tf.cast(weights, tf.float32)
        if self._scales is not None:
            # A sum has one factor for each row: its weight times its scale.
            weights *= tf.gather(self._scales, ids)
        flat = (tf.reshape(part, [-1, ids.shape[-1]]) for part in (ids, weights))
        sums = sum_in_chunks(self._rows, *flat)
        shape = tf.concat([tf.shape(ids)[:-1], [self._rows.shape[1]]], axis=0)
        return tf.ensure_shape(tf.reshape(sums, shape), [*ids.shape[:-1], self._rows.shape[1]])


def quantized_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows as int8, and their scales.

    Args:
        rows: float32 array of shape `(n, d)`.

    Returns:
        Pair of an int8 array of shape `(n, d)` and a float32 array of shape `(n,)`.

    Example:

    >>> rows, scales = quantized_rows(np.array([[1.27, -0.634, 0.0]], np.float32))
    >>> rows.tolist(), scales.round(4).tolist()
    ([[127, -63, 0]], [0.009999999776482582])
    """
    quantized, scales = np.empty(rows.shape, np.int8), np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _ROWS_AT_A_TIME):  # a copy of all rows may not fit
        some = rows[start : start + _ROWS_AT_A_TIME]
        scale = np.abs(some).max(axis=1, initial=0) / np.float32(_LARGEST)
        steps = np.rint(some / np.where(scale > 0, scale, 1)[:, None])
        # The smallest numbers of float32 have scales too coarse to keep to the range.
        quantized[start : start + len(some)] = np.clip(steps, -_LARGEST, _LARGEST)
        scales[start : start + len(some)] = scale
    return quantized, scales


def quantized_tables(
    model: keras.Model, values: str = "float32", embeddings: str = "float32"
) -> dict[int, QuantizedTable]:
    """Returns the tables that stand in for those of a model in its export.

    Args:
        model: A built model.
        values: How the values of memories are stored: `"float32"`, `"bfloat16"` or `"int8"`.
            Defaults to `"float32"`: as they are.
        embeddings: As `values`, for embedding tables. Those of up to 128 rows, which are not read
            row by row, stay as they are. Defaults to `"float32"`.

    Returns:
        Dictionary from the `id` of a variable to its `QuantizedTable`.

    Raises:
        UserError: If a type is unknown, or the model has no table of the kind that is to be
            quantized.
    """
    tables = {}
    for name, dtype, kind, find in (
        ("values", values, "a memory", _value_tables),
        ("embeddings", embeddings, "an embedding table of more than 128 rows", _embedding_tables),
    ):
        if dtype not in DTYPES:
            raise UserError(f"`{name}` must be one of {', '.join(DTYPES)}. Received: {dtype}")
        if dtype != FULL:
            found = {id(table): QuantizedTable(table, dtype) for table in find(model)}
            if not found:
                raise UserError(
                    f"`{name}` must be {FULL} for a model without {kind}. Received: {dtype}"
                )
            tables |= found
    return tables


def _value_tables(model):
    layers = [layer for layer in all_layers(model) if isinstance(layer, ProductKeyMemory)]
    return [layer.memory_values for layer in layers]


def _embedding_tables(model):
    layers = [layer for layer in all_layers(model) if isinstance(layer, EmbeddingTable)]
    return [layer.embeddings for layer in layers if not layer.has_few_rows]
