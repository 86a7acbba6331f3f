"""Placements of a table: all rows on each replica, or each row in one place."""

import tensorflow as tf

from lmn_tf.distribute.tables.row_wise_table import RowWiseTable
from lmn_tf.distribute.tables.server_table import ServerTable
from lmn_tf.distribute.tables.sharded_table import ShardedTable
from lmn_tf.keras_internals import track_variable
from lmn_tf.ops.rows.weighted_gather import weighted_gather

PLACEMENTS = ("replicated", "row_wise")


def add_table(layer, name, shape, initializer, placement="replicated"):
    """Adds a table to a layer, within its `build`.

    What becomes of `placement="row_wise"` is decided by the strategy in whose scope the layer is
    built. Without one, or with a single replica, it is a weight like any other.

    Args:
        layer: Keras layer.
        name: String.
        shape: Tuple `(n, d)`.
        initializer: Keras initializer.
        placement: `"replicated"` or `"row_wise"`. Defaults to `"replicated"`.

    Returns:
        A `RowWiseTable`, or a Keras variable. It is never cast as a whole: under mixed precision
        only rows that are read are.
    """
    if placement == "row_wise":
        table = _split_table(layer, name, shape, initializer)
        if table is not None:
            return table
    return layer.add_weight(shape=shape, initializer=initializer, name=name, autocast=False)


def _split_table(layer, name, shape, initializer):
    """Returns the table that the strategy in scope asks for; `None` for one that does not split."""
    strategy = tf.distribute.get_strategy()
    if isinstance(strategy, tf.distribute.MirroredStrategy) and strategy.num_replicas_in_sync > 1:
        return _made(ShardedTable, layer, name, shape, initializer)
    if isinstance(strategy, tf.distribute.ParameterServerStrategy):
        return _made(ServerTable, layer, name, shape, initializer)
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


def read_rows(table, ids):
    """Reads rows of what `add_table` made: `(...)` ids to `(..., d)`."""
    if isinstance(table, RowWiseTable):
        return table.lookup(ids)
    # The variable itself, not its value as a tensor: the gather then reads only these rows.
    return tf.gather(table.value, ids)


def read_weighted_sum(table, ids, weights, for_training=True):
    """Reads weighted sums of rows of what `add_table` made: `(..., k)` twice to `(..., d)`."""
    if isinstance(table, RowWiseTable):
        return table.weighted_sum(ids, weights)
    return weighted_gather(table, ids, weights, for_training)
