"""Squared gradients of the rows of a table, from the state of its optimizer."""

import keras
import numpy as np

from lmn_tf.distribute.tables.rows import get_rows, row_chunks
from lmn_tf.optimizers.row_optimizer import RowOptimizer

_SUM = "accumulator"  # of Adagrad: the sum of the squared gradients


class SlotGradients:
    """Squared gradients of each row of a table since the last call, without computing any.

    `RowWiseAdagrad` and `SparseAdagrad` sum the squared gradients of each row anyway. Differences
    of their state are exact, cover every step, and cost one pass over the state. Other optimizers
    keep no sums.

    Args:
        optimizer: Built optimizer of a model, or `None`.
        table: `keras.Variable` of shape `(rows, dim)`.

    Example:

    >>> table = keras.Variable(np.ones((3, 2)), name="memory_values")
    >>> optimizer = lmn_tf.optimizers.RowWiseAdagrad(0.1)
    >>> optimizer.build([table])
    >>> gradients = SlotGradients(optimizer, table)
    >>> optimizer.apply([tf.IndexedSlices(tf.ones((1, 2)), [1], [3, 2])], [table])
    >>> gradients.take().tolist()
    [0.0, 1.0, 0.0]
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer | None, table: keras.Variable) -> None:
        self._sums = _sums(optimizer, table)
        self._before = None if self._sums is None else _by_row(self._sums)

    def take(self) -> np.ndarray | None:
        """Returns the squared gradients since the last call, of shape `(rows,)`.

        `None` if the optimizer does not sum them.
        """
        if self._sums is None:
            return None
        sums = _by_row(self._sums)
        added, self._before = np.maximum(sums - self._before, 0.0), sums
        return added


def _sums(optimizer, table):
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # under loss scaling
    if hasattr(optimizer, "optimizer_of"):
        optimizer = optimizer.optimizer_of(table)
    if not isinstance(optimizer, RowOptimizer) or not optimizer.built:
        return None
    return optimizer.state_of(table).get(_SUM)


def _by_row(sums) -> np.ndarray:
    chunks = row_chunks(tuple(sums.shape), itemsize=4)
    rows = [np.asarray(get_rows(sums, *chunk), np.float64) for chunk in chunks]
    return np.concatenate([part.reshape(len(part), -1).sum(axis=1) for part in rows])
