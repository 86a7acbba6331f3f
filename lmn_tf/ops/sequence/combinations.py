"""Windows of the rows of a batch into distinct combinations of an event and its values."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from lmn_tf.ops.sequence.masked import widened
from lmn_tf.ops.sequence.valid_positions import segment_sum
from lmn_tf.ops.sequence.windows import Windows


class Combinations(Windows):
    """The windows of the rows into distinct combinations of an event and what rows see in it.

    A field such as the time since an event depends on the row as well as on the event, yet rows of
    one user in turn mostly see the same bucket. So the `P` pairs of a row and an event have far
    fewer combinations of an event and its values: what depends on these alone is computed once for
    each of the `Q` combinations, which rows share as they share events.

    Combinations are ordered by event, and those of an event by row: the rows that see one are
    neighbors. A value that comes back later makes another combination.

    Args:
        windows: `Windows` of the rows into the events.
        events: int32 tensor of shape `(Q,)`, not decreasing. The event of each combination.
        first_row: int32 tensor of shape `(Q,)`. The first row that sees it.
        last_row: int32 tensor of shape `(Q,)`. The row after the last one that sees it.

    Example:

    >>> windows = Windows([0, 0, 0], [1, 2, 2], num_events=2)
    >>> recent = tf.constant([5, 5, 3, 6, 4])  # of the pairs, row after row
    >>> combinations = Combinations.of(windows, [recent])
    >>> combinations.distinct(recent).numpy()
    array([5, 6, 3, 4], dtype=int32)
    >>> combinations.event_weights.numpy()
    array([2., 1., 1., 1.], dtype=float32)
    >>> combinations.event_sum(tf.constant([[1.0], [2.0], [4.0], [8.0]]))[:, 0].numpy()
    array([ 1.,  5., 10.], dtype=float32)
    """

    def __init__(
        self, windows: Windows, events: tf.Tensor, first_row: tf.Tensor, last_row: tf.Tensor
    ) -> None:
        super().__init__(windows.first, windows.lengths, windows.num_events)
        self._windows = windows
        self._event_of = events
        self._first_row, self._last_row = first_row, last_row
        self._num_events = tf.size(events)
        self._owner = tf.gather(windows._owner, events)
        # Where no event is shared, neither is a combination, and each event has one.
        self._is_alone &= tf.equal(self._num_events, windows.num_events)
        nothing = tf.zeros([0], tf.int32)
        self._by_combination, self._events = self._either(
            lambda: ((nothing, nothing), nothing), self._orders
        )

    @classmethod
    def of(cls, windows: Windows, values: Sequence[tf.Tensor]) -> Combinations:
        """Finds the combinations of the events with values of the pairs.

        Args:
            windows: `Windows` of the rows into the events.
            values: List of tensors of shape `(P,)`, row after row.

        Returns:
            `Combinations`.
        """
        found = windows._either(
            lambda: (tf.range(windows.num_events), windows._first_row, windows._last_row),
            lambda: _combinations(*windows._by_event(), values),
        )
        return cls(windows, *found)

    def newest(self, count: int) -> Combinations:
        windows = self._windows.newest(count)
        first_row = tf.maximum(self._first_row, tf.gather(windows._first_row, self._event_of))
        last_row = tf.minimum(self._last_row, tf.gather(windows._last_row, self._event_of))
        return Combinations(windows, self._event_of, first_row, tf.maximum(first_row, last_row))

    def combined(self, events: tf.Tensor) -> tf.Tensor:
        return self._combined(tf.convert_to_tensor(events))

    def distinct(self, pairs: tf.Tensor) -> tf.Tensor:
        """Takes the value of each combination of the pairs' `(P,)`, as `(Q,)`."""
        pairs = tf.convert_to_tensor(pairs)
        return self._either(lambda: pairs, lambda: tf.gather(pairs, self._first_pair()))

    @property
    def _combined(self):
        @tf.custom_gradient
        def combined(events):
            def gradient(upstream):
                count = tf.shape(events)[0]
                return self._either(
                    lambda: upstream, lambda: segment_sum(upstream, self._event_of, count)
                )

            return self._either(lambda: events, lambda: tf.gather(events, self._event_of)), gradient

        return combined

    def _first_pair(self):
        return tf.gather(self._starts - self.first, self._first_row) + self._event_of

    def _summed_by_event(self, pairs):
        combination, pair = self._by_combination
        return segment_sum(tf.gather(pairs, pair), combination, self._num_events)

    def _summed_by_row(self, events):
        # Not what rows have begun to see until then, less what they no longer see: infinity would
        # stay. This reads the pairs one by one, without room for all of them.
        total = tf.sparse.segment_sum(
            widened(events), self._events, self._rows, num_segments=self.batch
        )
        return tf.cast(total, events.dtype)

    def _orders(self):
        """The combinations as the pairs see them, in the order of combinations and of rows."""
        combination, _, pair = self._by_event()
        return (combination, pair), tf.gather(combination, tf.math.invert_permutation(pair))


def _combinations(event, row, pair, values):
    """Returns the event and the rows of each combination, of all pairs in the order of events."""
    changes = event[1:] != event[:-1]
    for value in values:
        value = tf.gather(value, pair)
        changes |= value[1:] != value[:-1]
    begins = tf.concat([tf.ones_like(event[:1], tf.bool), changes], axis=0)
    heads = tf.where(begins)[:, 0]
    tails = tf.where(tf.roll(begins, -1, axis=0))[:, 0]  # the first pair begins one
    return tf.gather(event, heads), tf.gather(row, heads), tf.gather(row, tails) + 1
