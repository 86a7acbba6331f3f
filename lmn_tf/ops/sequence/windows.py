"""Windows of the rows of a batch into one flat list of events."""

from __future__ import annotations

import tensorflow as tf

from lmn_tf.ops.sequence.valid_positions import ValidPositions


class Windows(ValidPositions):
    """The windows of the rows of a batch into one flat list of events.

    Rows of one user share a run of events: what depends on an event alone is computed once for each
    of the `E` events, and a row sees the window `first : first + length` of it. What depends on the
    row as well is computed for the `P` pairs of a row and an event of its window, row by row. Runs
    lie one behind the other, in the order of the rows: `first` never decreases.

    The pairs are the valid positions of the batch in its padded form `(B, L)`, so all that
    `ValidPositions` does with those can be done with pairs.

    Args:
        first: Integer tensor of shape `(B,)`. First event of each row.
        length: Integer tensor of shape `(B,)`. Number of events of each row.
        num_events: Integer, or scalar integer tensor. Number of events of the batch.

    Attributes:
        first: int32 tensor of shape `(B,)`.
        lengths: int32 tensor of shape `(B,)`.

    Example:

    >>> windows = Windows([0, 1], [2, 2], num_events=3)
    >>> windows.pairs(tf.constant([[1.0], [2.0], [4.0]]))[:, 0].numpy()
    array([1., 2., 2., 4.], dtype=float32)
    >>> windows.event_sum(tf.constant([[1.0], [2.0], [4.0]]))[:, 0].numpy()
    array([3., 6.], dtype=float32)
    """

    def __init__(self, first: tf.Tensor, length: tf.Tensor, num_events: int | tf.Tensor) -> None:
        self.first = tf.cast(first, tf.int32)
        self.lengths = tf.cast(length, tf.int32)
        self._num_events = tf.cast(num_events, tf.int32)
        longest = tf.maximum(tf.reduce_max(self.lengths), 1)
        mask = tf.sequence_mask(self.lengths, longest)  # (B, L)
        super().__init__(mask, mask)
        rows = tf.range(self.batch)
        # The row of each event, and each pair's row and event.
        events = tf.range(self._num_events)
        self._owner = tf.searchsorted(self.first, events, side="right") - 1
        self._rows = tf.repeat(rows, self.lengths)
        starts = tf.cumsum(self.lengths, exclusive=True)
        self._events = tf.range(tf.size(self._rows)) + tf.repeat(self.first - starts, self.lengths)
        ones = tf.ones([self.batch, 1], tf.int32)
        self._seen = tf.cast(self._spread_rows(ones)[:, 0], tf.float32)

    def newest(self, count: int) -> Windows:
        """Returns the windows of at most `count` events, the newest of each row.

        Args:
            count: Integer.
        """
        lengths = tf.minimum(self.lengths, count)
        newest = Windows(self.first + self.lengths - lengths, lengths, self._num_events)
        newest._owner = self._owner  # the new windows may begin in another order
        return newest

    def events(self, history: tf.Tensor) -> tf.Tensor:
        """Returns the events `(E, ...)`, which are listed already."""
        return tf.convert_to_tensor(history)

    def pairs(self, events: tf.Tensor) -> tf.Tensor:
        """Takes the events `(E, ...)` of all pairs, as `(P, ...)`."""
        return self._paired(tf.convert_to_tensor(events))

    def of_events(self, per_row: tf.Tensor) -> tf.Tensor:
        """Takes for each event a row of `(B, d)` of the same run, as `(E, d)`."""
        return self._owned(tf.convert_to_tensor(per_row))

    def event_sum(self, events: tf.Tensor) -> tf.Tensor:
        """Sums `(E, d)` over the window of each row, as `(B, d)`.

        A difference of running sums in float64: O(E + B), whatever the lengths of windows, and
        rounded less than a sum in float32.
        """
        return tf.ensure_shape(self._windowed(events), [self._static[0], events.shape[-1]])

    @property
    def of_pairs(self) -> ValidPositions:
        """The positions of the pairs, of which each is an event of its own."""
        return ValidPositions(self.mask, self.mask)

    @property
    def event_weights(self) -> tf.Tensor:
        """How many rows see each event, float32 `(E,)`: its weight in a mean over all pairs."""
        return self._seen

    @property
    def num_events(self) -> tf.Tensor:
        """Number of events of the batch, an int32 scalar."""
        return self._num_events

    @property
    def num_pairs(self) -> tf.Tensor:
        """Number of pairs of a row and an event of its window, an int32 scalar."""
        return tf.reduce_sum(self.lengths)

    @property
    def _paired(self):
        @tf.custom_gradient
        def paired(events):
            def gradient(upstream):
                return tf.math.unsorted_segment_sum(upstream, self._events, self._num_events)

            return tf.gather(events, self._events), gradient

        return paired

    @property
    def _owned(self):
        @tf.custom_gradient
        def owned(per_row):
            def gradient(upstream):
                total = tf.math.segment_sum(upstream, self._owner)
                missing = self.batch - tf.shape(total)[0]
                return tf.pad(total, [[0, missing], [0, 0]])

            return tf.gather(per_row, self._owner), gradient

        return owned

    @property
    def _windowed(self):
        @tf.custom_gradient
        def windowed(events):
            sums = tf.cumsum(tf.cast(tf.pad(events, [[1, 0], [0, 0]]), tf.float64))  # (E + 1, d)
            total = tf.gather(sums, self.first + self.lengths) - tf.gather(sums, self.first)
            return tf.cast(total, events.dtype), self._spread

        return windowed

    @property
    def _spread(self):
        @tf.custom_gradient
        def spread(per_row):
            wide = self._spread_rows(tf.cast(per_row, tf.float64))
            return tf.cast(wide, per_row.dtype), self._windowed

        return spread

    def _spread_rows(self, per_row):
        """Sums for each event what the rows hold that see it: `(B, d)` to `(E, d)`."""
        edges = tf.concat([self.first, self.first + self.lengths], axis=0)
        steps = tf.concat([per_row, -per_row], axis=0)
        changes = tf.math.unsorted_segment_sum(steps, edges, self._num_events + 1)
        return tf.cumsum(changes)[:-1]
