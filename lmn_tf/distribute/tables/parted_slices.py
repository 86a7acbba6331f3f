"""Sparse rows of a table that lie on several devices."""

import tensorflow as tf


class PartedSlices(tf.IndexedSlices):
    """The gradient of a table, each part on the device that holds its rows.

    To what knows of no parts it is one `tf.IndexedSlices`: only then do rows travel.

    Args:
        parts: List of a `tf.IndexedSlices` with distinct indices for each part; row `i` of part `p`
            is row `i * len(parts) + p` of the table.
        devices: List of strings: where the parts are.
        dense_shape: Tuple, the shape of the table.

    Example:

    >>> part = tf.IndexedSlices(tf.ones((1, 2)), tf.constant([1]))
    >>> PartedSlices([part, part], ["/cpu:0", "/cpu:0"], (4, 2)).indices.numpy().tolist()
    [2, 3]
    """

    def __init__(self, parts, devices, dense_shape):
        self.parts, self.devices = tuple(parts), tuple(devices)
        count = len(self.parts)
        indices = [part.indices * count + index for index, part in enumerate(self.parts)]
        super().__init__(
            tf.concat([part.values for part in self.parts], axis=0),
            tf.concat(indices, axis=0),
            tf.constant(dense_shape, tf.int64),
        )
        self._table_shape = tuple(dense_shape)

    def map(self, function):
        """Applies a function to the values of each part, where they are.

        Args:
            function: Function from a tensor of rows to one of the same shape.
        """
        parts = []
        for part, device in zip(self.parts, self.devices, strict=True):
            with tf.device(device):
                parts.append(tf.IndexedSlices(function(part.values), part.indices))
        return PartedSlices(parts, self.devices, self._table_shape)

    def sum(self, function):
        """Adds up what a function makes of the values of each part, where they are.

        Args:
            function: Function from a tensor of rows to a scalar.
        """
        totals = []
        for part, device in zip(self.parts, self.devices, strict=True):
            with tf.device(device):
                totals.append(function(part.values))
        return tf.add_n(totals)
