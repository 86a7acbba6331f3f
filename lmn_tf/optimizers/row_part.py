"""The rows of a table that one device updates in a step."""

import contextlib
import functools
from contextlib import AbstractContextManager

import tensorflow as tf


class RowPart:
    """Access to the rows of a gradient, in a table and its state that lie on one device.

    A sparse gradient reads and writes its rows only, a dense one whole variables.

    Args:
        gradient: `tf.IndexedSlices` with distinct indices, or a tensor shaped like `variable`.
        variable: `tf.Variable`, the table or a part of it.
        state: Dictionary of `tf.Variable`, one row for each row of `variable`.
        dtype: Type in which steps are computed.
        is_shared: Boolean. Whether others may write at the same time, so that overwriting rows
            would lose updates. Defaults to `False`.
        device: String, or `None` for that of the caller. Defaults to `None`.

    Attributes:
        gradient: Tensor of shape `(rows, ...)` and of type `dtype`.
        old: Dictionary of tensors of shape `(rows, ...)`: the state before the step.

    Example:

    >>> table = tf.Variable([[1.0], [2.0], [3.0]])
    >>> gradient = tf.IndexedSlices(tf.constant([[0.5], [0.0]]), tf.constant([2, 0]))
    >>> part = RowPart(gradient, table, {}, tf.float32)
    >>> part.read.numpy().tolist()
    [True, False]
    >>> rows = part.rows()
    >>> part.write(rows, rows - part.gradient, {})
    >>> table.numpy().ravel().tolist()
    [1.0, 2.0, 2.5]
    """

    def __init__(
        self,
        gradient: tf.Tensor | tf.IndexedSlices,
        variable: tf.Variable,
        state: dict[str, tf.Variable],
        dtype: tf.DType | str,
        is_shared: bool = False,
        device: str | None = None,
    ) -> None:
        self._variable, self._state, self._device = variable, state, device
        self._ids, self._is_shared = None, is_shared
        if isinstance(gradient, tf.IndexedSlices):
            self._ids, gradient = gradient.indices, gradient.values
        with self.place():
            self.gradient = tf.cast(gradient, dtype)
            self.old = {name: self._read(slot) for name, slot in state.items()}

    def place(self) -> AbstractContextManager:
        """Returns a context in which tensors are computed on the device of the rows."""
        return contextlib.nullcontext() if self._device is None else tf.device(self._device)

    @functools.cached_property
    def read(self) -> tf.Tensor:
        """Whether each row counts as read: its gradient is not zero; NaN counts."""
        return tf.not_equal(row_mean_square(self.gradient), 0)

    def rows(self) -> tf.Tensor:
        """Returns the rows of the table, of its type."""
        return self._read(self._variable)

    def write(self, before: tf.Tensor, rows: tf.Tensor, state: dict[str, tf.Tensor]) -> None:
        """Writes the rows of the table and of its state.

        Args:
            before: Tensor, the `rows()` from which `rows` were computed.
            rows: Tensor of the same shape and type.
            state: Dictionary of tensors, shaped like `old`.
        """
        for name, slot in self._state.items():
            self._write(slot, self.old[name], state[name])
        self._write(self._variable, before, rows)

    def _read(self, variable):
        return (
            tf.convert_to_tensor(variable) if self._ids is None else tf.gather(variable, self._ids)
        )

    def _write(self, variable, before, rows):
        if self._ids is None:
            variable.assign(rows)
        elif self._is_shared:
            variable.scatter_add(tf.IndexedSlices(rows - before, self._ids))
        else:
            # `scatter_sub` runs on one core, and is several times slower.
            variable.scatter_update(tf.IndexedSlices(rows, self._ids))


def row_mean_square(rows: tf.Tensor) -> tf.Tensor:
    """Returns the mean square of each row: one number per row."""
    axes = list(range(1, rows.shape.rank))
    return tf.reduce_mean(tf.square(rows), axis=axes) if axes else tf.square(rows)
