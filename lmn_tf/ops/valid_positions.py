"""Works on the valid positions of padded sequences and leaves padding out."""

import tensorflow as tf

from lmn_tf.ops.compile import is_compiling_with_xla
from lmn_tf.ops.sequence import zero_padding


class ValidPositions:
    """The valid positions of a padded batch, as a flat list.

    Half of a padded batch is often padding. What is expensive for each position
    (a search, a multi-layer unit) is done on the flat list of `N` valid
    positions and put back in place after it. Their number is known only at run
    time, so inside XLA the list is simply all `B * L` positions, with `valid`
    telling which of them count.

    Args:
        mask: Boolean tensor of shape `(B, L)`, true where valid, or `None` when
            every position is.
        like: Tensor of shape `(B, L, ...)`, read for its batch and length.

    Attributes:
        valid: `None` when all listed positions are valid, else a boolean tensor
            of shape `(N,)`.

    Example:

    >>> x = tf.constant([[[1.0], [2.0]], [[3.0], [9.0]]])
    >>> positions = ValidPositions(tf.constant([[True, True], [True, False]]), x)
    >>> positions.take(x).shape
    TensorShape([3, 1])
    >>> positions.row_sum(positions.take(x)).numpy()
    array([[3.],
           [3.]], dtype=float32)
    """

    def __init__(self, mask, like):
        self.batch, self.length = tf.shape(like)[0], tf.shape(like)[1]
        self._static = like.shape[:2]
        self.mask = None if mask is None else tf.cast(mask, tf.bool)
        self.is_compact = mask is not None and not is_compiling_with_xla()
        self.valid = None
        if self.is_compact:
            self._indices = tf.where(self.mask)
            self._rows = tf.cast(self._indices[:, 0], tf.int32)
        elif mask is not None:
            self.valid = tf.reshape(self.mask, [-1])

    def take(self, sequence):
        """Lists the positions of a `(B, L, ...)` tensor as `(N, ...)`."""
        sequence = tf.convert_to_tensor(sequence)
        if self.is_compact:
            return tf.gather_nd(sequence, self._indices)
        if sequence.shape.rank > 2:
            sequence = zero_padding(sequence, self.mask)
        return tf.reshape(sequence, tf.concat([[-1], tf.shape(sequence)[2:]], 0))

    def put(self, flat):
        """Puts `(N, ...)` back in place as `(B, L, ...)`, with zeros at padding."""
        shape = tf.concat([[self.batch, self.length], tf.shape(flat)[1:]], 0)
        if self.is_compact:
            sequence = tf.scatter_nd(tf.cast(self._indices, tf.int32), flat, shape)
        else:
            sequence = tf.reshape(flat, shape)
            if self.mask is not None:
                mask = tf.reshape(self.mask, tf.concat([shape[:2], tf.ones_like(shape[2:])], 0))
                sequence = tf.where(mask, sequence, tf.zeros([], flat.dtype))
        return tf.ensure_shape(sequence, [*self._static, *flat.shape[1:]])

    def repeat(self, per_row):
        """Repeats `(B, d)` rows for each of their positions, as `(N, d)`."""
        if self.is_compact:
            return _repeat_rows(per_row, self._rows)
        width = per_row.shape[-1]
        wide = tf.broadcast_to(per_row[:, None, :], [self.batch, self.length, width])
        return tf.reshape(wide, [-1, width])

    def row_sum(self, flat):
        """Sums `(N, d)` over the valid positions of each row, as `(B, d)`."""
        if self.is_compact:
            total = _sum_rows(flat, self._rows, self.batch)
        else:
            total = tf.reduce_sum(self.put(flat), axis=1)
        return tf.ensure_shape(total, [self._static[0], flat.shape[-1]])

    def row_mean(self, flat):
        """Averages `(N, d)` over the valid positions of each row; 0 where there are none."""
        total = self.row_sum(flat)
        if self.mask is None:
            count = tf.fill([self.batch, 1], tf.cast(self.length, tf.float32))
        else:
            count = tf.reduce_sum(tf.cast(self.mask, tf.float32), axis=1, keepdims=True)
        return total / tf.cast(tf.maximum(count, 1.0), total.dtype)

    def mean(self, flat):
        """Averages `(N,)` over the valid positions of the batch; 0 when there are none."""
        if self.valid is not None:
            count = tf.reduce_sum(tf.cast(self.valid, flat.dtype))
            flat = tf.where(self.valid, flat, tf.zeros([], flat.dtype))
        else:
            count = tf.cast(tf.shape(flat)[0], flat.dtype)
        return tf.reduce_sum(flat) / tf.maximum(count, 1.0)


@tf.custom_gradient
def _repeat_rows(per_row, rows):
    # The gradient of `tf.gather` would be made dense through a generic path.
    batch = tf.shape(per_row)[0]
    return tf.gather(per_row, rows), lambda upstream: (_sum_rows(upstream, rows, batch), None)


@tf.custom_gradient
def _sum_rows(flat, rows, batch):
    total = tf.math.unsorted_segment_sum(flat, rows, batch)
    return total, lambda upstream: (_repeat_rows(upstream, rows), None, None)
