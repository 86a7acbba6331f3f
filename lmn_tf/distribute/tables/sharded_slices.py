"""Sparse gradients of a table whose rows are sharded over devices."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


class ShardedSlices(tf.IndexedSlices):
    """The gradient of a sharded table, each part on the device that holds its rows.

    Code that is not aware of the parts sees one `tf.IndexedSlices`; only then are rows moved.

    Args:
        parts: List of a `tf.IndexedSlices` with distinct indices for each part; row `i` of part `p`
            is row `i * len(parts) + p` of the table.
        devices: List of strings: the devices of the parts.
        dense_shape: Tuple, the shape of the table.

    Example:

    >>> part = tf.IndexedSlices(tf.ones((1, 2)), tf.constant([1]))
    >>> ShardedSlices([part, part], ["/cpu:0", "/cpu:0"], (4, 2)).indices.numpy().tolist()
    [2, 3]
    """

    def __init__(
        self, parts: list[tf.IndexedSlices], devices: list[str], dense_shape: tuple[int, ...]
    ) -> None:
        self.parts, self.devices = tuple(parts), tuple(devices)
        count = len(self.parts)
        indices = [part.indices * count + index for index, part in enumerate(self.parts)]
        super().__init__(
            tf.concat([part.values for part in self.parts], axis=0),
            tf.concat(indices, axis=0),
            tf.constant(dense_shape, tf.int64),
        )
        self._table_shape = tuple(dense_shape)

    def map(self, function: Callable[[tf.Tensor], tf.Tensor]) -> ShardedSlices:
        """Applies a function to the values of each part, on the part's device.

        Args:
            function: Function from a tensor of rows to one of the same shape.
        """
        parts = []
        for part, device in zip(self.parts, self.devices, strict=True):
            with tf.device(device):
                parts.append(tf.IndexedSlices(function(part.values), part.indices))
        return ShardedSlices(parts, self.devices, self._table_shape)

    def sum(self, function: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Sums a function of the values of each part, computed on the part's device.

        Args:
            function: Function from a tensor of rows to a scalar.
        """
        totals = []
        for part, device in zip(self.parts, self.devices, strict=True):
            with tf.device(device):
                totals.append(function(part.values))
        return tf.add_n(totals)
