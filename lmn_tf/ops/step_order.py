"""Orders the valid positions of padded sequences by step, for recurrences."""

import tensorflow as tf


class StepOrder:
    """The positions that `ValidPositions` lists, ordered by step.

    First come the first valid positions of all rows, then the second ones, and so on, with the
    rows of the longest sequences before the others: the rows that still have a step are then the
    first ones of the step before, and a recurrence leaves padding out. Inside XLA, and without a
    mask, every step has all rows in their own order, padding included.

    Args:
        positions: `ValidPositions`.

    Attributes:
        rows: Integer tensor, the number of rows in each step, not increasing, `(steps,)`; or a
            scalar, where every step has all rows.

    Example:

    >>> from lmn_tf.ops import ValidPositions
    >>> mask = tf.constant([[True, False], [True, True]])
    >>> positions = ValidPositions(mask, mask)
    >>> order = StepOrder(positions)
    >>> order.rows.numpy()
    array([2, 1], dtype=int32)
    >>> order.take(tf.constant([[1.0], [2.0], [3.0]]))[:, 0].numpy()
    array([2., 1., 3.], dtype=float32)
    """

    def __init__(self, positions):
        self._batch, self._length = positions.batch, positions.length
        self._is_compact = positions.is_compact
        self.rows = self._batch
        if not self._is_compact:
            return
        counts = tf.reduce_sum(tf.cast(positions.mask, tf.int32), axis=1)
        steps = tf.range(tf.maximum(tf.reduce_max(counts), 1))
        self.rows = tf.reduce_sum(tf.cast(counts > steps[:, None], tf.int32), axis=1)
        by_length = tf.argsort(counts, direction="DESCENDING", stable=True)
        places, before = tf.argsort(by_length), tf.cumsum(self.rows, exclusive=True)
        starts = tf.cumsum(counts, exclusive=True)
        # Where each position goes, and where each comes from.
        of_list = tf.repeat(tf.range(self._batch), counts)
        step = tf.range(tf.size(of_list)) - tf.gather(starts, of_list)
        self._to = tf.gather(before, step) + tf.gather(places, of_list)
        step = tf.repeat(steps, self.rows)
        row = tf.gather(by_length, tf.range(tf.size(step)) - tf.gather(before, step))
        self._from = tf.gather(starts, row) + step
        last = tf.gather(before, tf.maximum(counts - 1, 0)) + places
        self._last = tf.where(counts > 0, last, tf.size(step))

    def take(self, listed):
        """Orders `(N, w)` rows of a list by step."""
        if self._is_compact:
            return _permuted(listed, self._from, self._to)
        return self._turned(listed, self._batch, self._length)

    def put(self, ordered):
        """Orders `(N, w)` rows of steps as the list is."""
        if self._is_compact:
            return _permuted(ordered, self._to, self._from)
        return self._turned(ordered, self._length, self._batch)

    def last(self, states):
        """The `(N, w)` states' last one of each row, as `(B, w)`; 0 where there is none."""
        if not self._is_compact:
            width = states.shape[-1]
            return tf.reshape(states, [self._length, self._batch, width])[-1]
        nothing = tf.zeros([1, states.shape[-1]], states.dtype)
        return tf.gather(tf.concat([states, nothing], axis=0), self._last)

    def _turned(self, flat, rows, columns):
        width = flat.shape[-1]
        turned = tf.transpose(tf.reshape(flat, [rows, columns, width]), [1, 0, 2])
        return tf.reshape(turned, [-1, width])


@tf.custom_gradient
def _permuted(flat, order, back):
    # The gradient of a gather would be a scatter, which runs on one core.
    return tf.gather(flat, order), lambda upstream: (_permuted(upstream, back, order), None, None)
