"""One table in several parts."""

import numpy as np
import tensorflow as tf

from lmn_tf.distribute.row_access import read_run, write_run


class RowSplit:
    """A table whose row `i` is row `i // P` of part `i % P`: what reads and writes it as one.

    Neighbouring ids, of which the most frequent often have the lowest, lie on different parts. The
    first parts have one row more where the rows do not divide.

    Args:
        parts: Sequence of `tf.Variable`, each where its rows are to lie.

    Attributes:
        parts: The same, a tuple.
        shape: Tuple, that of the table.

    Example:

    >>> table = RowSplit([tf.Variable([[0.0], [2.0]]), tf.Variable([[1.0]])])
    >>> table.shape, table.get_rows(1, 3).ravel().tolist()
    ((3, 1), [1.0, 2.0])
    """

    def __init__(self, parts):
        self.parts = tuple(parts)
        rows = sum(int(part.shape[0]) for part in self.parts)
        self.shape = (rows, *self.parts[0].shape[1:])

    @property
    def dtype(self):
        """Name of the type of the elements."""
        return tf.as_dtype(self.parts[0].dtype).name

    def get_rows(self, start, stop):
        """Reads rows `start` to `stop` as one numpy array."""
        rows = None
        for offset, part, first, last in self._runs(start, stop):
            read = read_run(part, first, last)
            if rows is None:
                rows = np.empty((stop - start, *self.shape[1:]), read.dtype)
            rows[offset :: len(self.parts)] = read
        return np.empty((0, *self.shape[1:]), self.dtype) if rows is None else rows

    def set_rows(self, start, rows):
        """Writes rows from `start` on."""
        rows = tf.convert_to_tensor(rows)
        for offset, part, first, _ in self._runs(start, start + len(rows)):
            write_run(part, first, tf.cast(rows[offset :: len(self.parts)], part.dtype))

    def _runs(self, start, stop):
        """Yields (offset from `start`, part, first row of the part, row behind the last)."""
        count = len(self.parts)
        for index, part in enumerate(self.parts):
            offset = (index - start) % count
            first, last = (start + offset) // count, (stop - index + count - 1) // count
            if first < last:
                yield offset, part, first, last

    def lookup(self, ids):
        """Reads rows from all parts, to where the caller runs.

        Args:
            ids: Integer tensor of shape `(M,)`.

        Returns:
            Tensor of shape `(M, ...)`; the gradient of each part is sparse.
        """
        count = len(self.parts)
        places = tf.cast(ids % count, tf.int32)
        split = tf.dynamic_partition(ids // count, places, count)
        order = tf.dynamic_partition(tf.range(tf.size(ids)), places, count)
        rows = [tf.gather(part, local) for part, local in zip(self.parts, split, strict=True)]
        return tf.ensure_shape(tf.dynamic_stitch(order, rows), [None, *self.shape[1:]])


def part_sizes(num_rows, count):
    """Returns how many of `num_rows` rows each of `count` parts of a `RowSplit` has."""
    return [(num_rows - index + count - 1) // count for index in range(count)]
