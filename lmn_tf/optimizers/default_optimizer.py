"""The default optimizer of models."""

from collections.abc import Sequence

import keras

from lmn_tf.optimizers.group_optimizer import GroupOptimizer
from lmn_tf.optimizers.row_wise_adagrad import RowWiseAdagrad
from lmn_tf.optimizers.row_wise_sgd import RowWiseSGD


def default(
    dense: float | keras.optimizers.Optimizer = 0.001,
    tables: float | keras.optimizers.Optimizer = 0.05,
    clip_norm: float | None = None,
    pairs: Sequence[str] = (),
) -> GroupOptimizer:
    """Returns Adam for the dense variables and row-wise Adagrad for the tables.

    Args:
        dense: Learning rate of Adam, or a `keras.optimizers.Optimizer`. Defaults to `0.001`.
        tables: Learning rate of `RowWiseAdagrad`, or a `keras.optimizers.Optimizer`. Defaults to
            `0.05`.
        clip_norm: Float or `None`. Largest global norm of each group's gradient; dense variables,
            tables and each table of `pairs` are clipped separately. Optimizers passed as instances
            keep their own clipping. Defaults to `None`.
        pairs: List of the names of tables of pairs, which `RowWiseSGD` trains. Defaults to `()`.

    Returns:
        A `GroupOptimizer`. `is_table` decides which variables are tables.

    Example:

    >>> optimizer = default(tables=0.1)
    >>> type(optimizer.dense).__name__, type(optimizer.tables).__name__
    ('Adam', 'RowWiseAdagrad')
    """
    if not isinstance(dense, keras.optimizers.Optimizer):
        dense = keras.optimizers.Adam(_rate(dense), global_clipnorm=clip_norm)
    if not isinstance(tables, keras.optimizers.Optimizer):
        tables = RowWiseAdagrad(_rate(tables), global_clipnorm=clip_norm)
    named = {name: RowWiseSGD(global_clipnorm=clip_norm) for name in pairs}
    return GroupOptimizer(dense, tables, named)


def _rate(value):
    # Keras refuses `learning_rate=1`.
    return float(value) if isinstance(value, int) else value
