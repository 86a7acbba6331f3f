"""Windows of the rows of a batch into one flat list of events."""

from __future__ import annotations

import tensorflow as tf

from lmn_tf.ops.sequence.masked import widened
from lmn_tf.ops.sequence.valid_positions import ValidPositions, segment_sum


class Windows(ValidPositions):
    """The windows of the rows of a batch into one flat list of events.

    Rows of one user share a run of events: what depends on an event alone is computed once for each
    of the `E` events, and a row sees the window `first : first + length` of it. What depends on the
    row as well is computed for the `P` pairs of a row and an event of its window, row by row.

    Runs lie one behind the other in the order of the rows, and rows of a run in the order of time:
    neither the beginnings nor the ends of the windows ever decrease. So the rows that see an event
    are neighbors, too, and sums over either are made of sums of 1, 2, 4... neighbors, which windows
    share, with nothing to be scattered.

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
        self._last = self.first + self.lengths
        # The rows that see each event: `first_row : last_row`.
        self._event_of = tf.range(self._num_events)
        self._last_row = tf.searchsorted(self.first, self._event_of, side="right")
        first_row = tf.searchsorted(self._last, self._event_of, side="right")
        self._first_row = tf.minimum(first_row, self._last_row)
        self._owner = self._last_row  # one too high: row 0 is for events without rows
        # The event of each pair, in the order of the rows.
        self._rows = tf.repeat(tf.range(self.batch), self.lengths)
        self._starts = tf.cumsum(self.lengths, exclusive=True)
        shift = tf.repeat(self.first - self._starts, self.lengths)
        self._events = tf.range(tf.size(self._rows)) + shift
        # Where no event is shared, pairs are events, and one sum over those of each row is cheaper.
        alone = tf.equal(tf.size(self._rows), self._num_events)
        self._is_alone = alone & tf.reduce_all(tf.equal(self.first, self._starts))

    def newest(self, count: int) -> Windows:
        """Returns the windows of at most `count` events, the newest of each row.

        Args:
            count: Integer.
        """
        lengths = tf.minimum(self.lengths, count)
        newest = Windows(self._last - lengths, lengths, self._num_events)
        newest._owner = self._owner  # an event before all new windows keeps its row
        return newest

    def pairs(self, events: tf.Tensor) -> tf.Tensor:
        """Takes the events `(E, ...)` of all pairs, as `(P, ...)`."""
        return self._paired(tf.convert_to_tensor(events))

    def of_events(self, per_row: tf.Tensor) -> tf.Tensor:
        """Takes for each event a row of `(B, d)` of the same run, as `(E, d)`."""
        return self._owned(tf.convert_to_tensor(per_row))

    def event_sum(self, events: tf.Tensor) -> tf.Tensor:
        """Sums `(E, d)` over the window of each row, as `(B, d)`.

        A row gets what its events hold and nothing else: a value that is not finite, or swallows
        others, stays within the windows that see it. O((E + B) log L), whatever the number of
        pairs, for windows of at most `L` events; `Combinations` read each pair, one by one. Half
        precision is summed in float32.
        """
        events = tf.convert_to_tensor(events)
        return tf.ensure_shape(self._windowed(events), [self._static[0], events.shape[-1]])

    @property
    def of_pairs(self) -> ValidPositions:
        """The positions of the pairs, of which each is an event of its own."""
        return ValidPositions(self.mask, self.mask)

    @property
    def event_weights(self) -> tf.Tensor:
        """How many rows see each event, float32 `(E,)`: its weight in a mean over all pairs."""
        return tf.cast(self._last_row - self._first_row, tf.float32)

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
                return self._either(lambda: upstream, lambda: self._summed_by_event(upstream))

            return self._either(lambda: events, lambda: tf.gather(events, self._events)), gradient

        return paired

    def _summed_by_event(self, pairs):
        # In the order of the events: a sum of sorted segments takes half the time of others.
        event, _, pair = self._by_event()
        return segment_sum(tf.gather(pairs, pair), event, self._num_events)

    def _by_event(self):
        """The events, the rows and the places of all pairs, in the order of the events."""
        counts = self._last_row - self._first_row
        event = tf.repeat(tf.range(self._num_events), counts)
        before = tf.cumsum(counts, exclusive=True)
        row = tf.range(tf.size(event)) + tf.repeat(self._first_row - before, counts)
        shift = tf.gather(self._starts - self.first, row)
        return event, row, tf.repeat(self._event_of, counts) + shift

    def _either(self, if_alone, if_shared):
        return tf.cond(self._is_alone, if_alone, if_shared)

    @property
    def _owned(self):
        @tf.custom_gradient
        def owned(per_row):
            def gradient(upstream):
                return segment_sum(upstream, self._owner, self.batch + 1)[1:]

            return tf.gather(tf.pad(per_row, [[1, 0], [0, 0]]), self._owner), gradient

        return owned

    @property
    def _windowed(self):
        @tf.custom_gradient
        def windowed(events):
            total = self._either(
                lambda: segment_sum(events, self._rows, self.batch),
                lambda: self._summed_by_row(events),
            )
            return total, self._spread

        return windowed

    def _summed_by_row(self, events):
        return _window_sums(events, self.first, self._last)

    @property
    def _spread(self):
        @tf.custom_gradient
        def spread(per_row):
            total = self._either(
                lambda: tf.gather(per_row, self._rows),
                lambda: _window_sums(per_row, self._first_row, self._last_row),
            )
            return total, self._windowed

        return spread


def _window_sums(values, first, last):
    """Sums of `values[first : last]`, along the first axis.

    A window is cut into blocks of 1, 2, 4... values, as the bits of its length say. No difference
    of running sums: one large value would swallow those of all other windows.
    """
    lengths, blocks = last - first, widened(values)
    total = tf.zeros([tf.size(lengths), tf.shape(blocks)[1]], blocks.dtype)

    def add(size, blocks, total):
        place = first + (lengths & (size - 1))  # behind the smaller blocks
        is_part = tf.not_equal(lengths & size, 0)
        part = tf.gather(blocks, tf.where(is_part, place, 0))
        total += tf.where(is_part[:, None], part, tf.zeros_like(part))
        return 2 * size, blocks[:-size] + blocks[size:], total

    shape = tf.TensorShape([None, values.shape[1]])
    longest = tf.reduce_max(lengths)
    total = tf.while_loop(
        lambda size, *_: size <= longest,
        add,
        (tf.constant(1), blocks, total),
        shape_invariants=(tf.TensorShape([]), shape, shape),
    )[-1]
    return tf.cast(total, values.dtype)
