"""Placements of a table: all rows on each replica, or each row on one device."""

import contextlib
import contextvars
import types
from collections.abc import Iterator, Mapping

import keras
import tensorflow as tf

from lmn_tf.distribute.tables.parameter_server_table import ParameterServerTable
from lmn_tf.distribute.tables.row_wise_table import RowWiseTable
from lmn_tf.distribute.tables.sharded_table import ShardedTable
from lmn_tf.keras_internals import track_variable
from lmn_tf.ops.rows.weighted_gather import weighted_gather

PLACEMENTS = ("replicated", "row_wise")
_stand_ins: contextvars.ContextVar[Mapping[int, RowWiseTable]] = contextvars.ContextVar(
    "stand_ins", default=types.MappingProxyType({})
)


def add_table(
    layer: keras.layers.Layer,
    name: str,
    shape: tuple[int, ...],
    initializer: keras.initializers.Initializer,
    placement: str = "replicated",
) -> RowWiseTable | keras.Variable:
    """Adds a table to a layer, within its `build`.

    The strategy in whose scope the layer is built determines how `placement="row_wise"` splits the
    table. Without a strategy, or with a single replica, the table is an ordinary weight.

    Args:
        layer: Keras layer.
        name: String.
        shape: Tuple `(n, d)`.
        initializer: Keras initializer.
        placement: `"replicated"` or `"row_wise"`. Defaults to `"replicated"`.

    Returns:
        A `RowWiseTable`, or a Keras variable. It is never cast as a whole: under mixed precision,
        only the rows that are read are cast.
    """
    if placement == "row_wise":
        table = _split_table(layer, name, shape, initializer)
        if table is not None:
            return table
    return layer.add_weight(shape=shape, initializer=initializer, name=name, autocast=False)


def _split_table(layer, name, shape, initializer):
    """Creates the table for the strategy in scope; `None` if the strategy does not split tables."""
    strategy = tf.distribute.get_strategy()
    if isinstance(strategy, tf.distribute.MirroredStrategy) and strategy.num_replicas_in_sync > 1:
        return _made(ShardedTable, layer, name, shape, initializer)
    if isinstance(strategy, tf.distribute.ParameterServerStrategy):
        return _made(ParameterServerTable, layer, name, shape, initializer)
    return None


def _made(kind, layer, name, shape, initializer):
    if not tf.distribute.in_cross_replica_context():
        raise ValueError(
            f"`{layer.name}` must be built in the strategy's scope for `placement='row_wise'`. "
            "Received: a first call within a replica"
        )
    if layer.variable_dtype != "float32":
        raise ValueError(
            f"`{layer.name}` must have float32 variables for `placement='row_wise'`. "
            f"Received: variable_dtype={layer.variable_dtype!r}"
        )
    table = kind(shape, initializer, trainable=layer.trainable, name=name)
    track_variable(layer, table)
    return table


@contextlib.contextmanager
def standing_in(tables: Mapping[int, RowWiseTable]) -> Iterator[None]:
    """Lets other tables be read in the place of some, where the block runs or traces reads.

    For exports, which may store tables in fewer bits than a model is trained in.

    Args:
        tables: Mapping from the `id` of a table made by `add_table` to the one that is read.
    """
    token = _stand_ins.set(tables)
    try:
        yield
    finally:
        _stand_ins.reset(token)


def read_rows(table: RowWiseTable | keras.Variable, ids: tf.Tensor) -> tf.Tensor:
    """Reads rows of a table made by `add_table`: `(...)` ids to `(..., d)`."""
    table = _stand_ins.get().get(id(table), table)
    if isinstance(table, RowWiseTable):
        return table.lookup(ids)
    # The variable itself, not its value as a tensor: the gather then reads only these rows.
    return tf.gather(table.value, ids)


def read_weighted_sum(
    table: RowWiseTable | keras.Variable,
    ids: tf.Tensor,
    weights: tf.Tensor,
    for_training: bool = True,
) -> tf.Tensor:
    """Reads weighted sums of rows of a table made by `add_table`: `(..., k)` to `(..., d)`."""
    table = _stand_ins.get().get(id(table), table)
    if isinstance(table, RowWiseTable):
        return table.weighted_sum(ids, weights)
    return weighted_gather(table, ids, weights, for_training)
