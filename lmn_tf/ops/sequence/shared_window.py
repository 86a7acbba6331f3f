"""The only window of a batch, which all rows share."""

from __future__ import annotations

import tensorflow as tf

from lmn_tf.ops.sequence.masked import through_float32
from lmn_tf.ops.sequence.valid_positions import ValidPositions


class SharedWindow(ValidPositions):
    """The only window of a batch: all rows see the same events, and all of them.

    So it is where many candidates are scored for one user. What depends on events alone, sums over
    the window included, is computed before anything that knows how many rows there are, and then
    repeated for the rows. So it can be computed before the rows are known.

    In its padded form the history is that of one row, `(1, length, d)`, and broadcasts.

    Args:
        num_events: Integer, or scalar integer tensor. Number of events of the window.
        batch: Integer, or scalar integer tensor. Number of rows.

    Example:

    >>> window = SharedWindow(num_events=2, batch=3)
    >>> window.event_sum(tf.constant([[1.0], [2.0]]))[:, 0].numpy()
    array([3., 3., 3.], dtype=float32)
    >>> window.pairs(tf.constant([[1.0], [2.0]]))[:, 0].numpy()
    array([1., 2., 1., 2., 1., 2.], dtype=float32)
    """

    def __init__(self, num_events: int | tf.Tensor, batch: int | tf.Tensor) -> None:
        self._fill(tf.cast(batch, tf.int32), tf.cast(num_events, tf.int32))

    def newest(self, count: int) -> SharedWindow:
        """Returns the window of at most `count` events, the newest.

        Args:
            count: Integer.
        """
        return SharedWindow(tf.minimum(self.length, count), self.batch)

    def padded(self, events: tf.Tensor) -> tf.Tensor:
        """Takes the events `(E, ...)` in their padded form, `(1, max(E, 1), ...)`."""
        events = tf.convert_to_tensor(events)
        missing = tf.maximum(1 - tf.shape(events)[0], 0)
        padded = tf.pad(events, [[0, missing]] + [[0, 0]] * (events.shape.rank - 1))[None]
        return tf.ensure_shape(padded, [1, None, *events.shape[1:]])

    @property
    def padded_mask(self) -> tf.Tensor:
        """Boolean tensor of shape `(1, max(E, 1))`, true where `padded` is valid."""
        return tf.fill([1, tf.maximum(self.length, 1)], self.length > 0)

    def pairs(self, events: tf.Tensor) -> tf.Tensor:
        """Takes the events `(E, ...)` of all pairs, as `(B * E, ...)`."""
        events = tf.convert_to_tensor(events)
        tiled = tf.tile(events, [self.batch] + [1] * (events.shape.rank - 1))
        return tf.ensure_shape(tiled, [None, *events.shape[1:]])

    def of_events(self, per_row: tf.Tensor) -> tf.Tensor:
        """Takes the row that all events share, `(1, d)`, which broadcasts."""
        return tf.convert_to_tensor(per_row)[:1]

    def event_sum(self, events: tf.Tensor) -> tf.Tensor:
        """Sums `(E, d)` over the window, and repeats the sum for each row, as `(B, d)`."""
        return self.of_rows(self._sum(events))

    def event_mean(self, events: tf.Tensor) -> tf.Tensor:
        """Averages `(E, d)` over the window, as `(B, d)`; exactly 0 where it is empty."""
        return self.of_rows(through_float32(lambda wide: self._averaged(self._sum(wide)), events))

    def event_sqrtn(self, events: tf.Tensor) -> tf.Tensor:
        """Sums `(E, d)` over the window, and divides by the root of the length, as `(B, d)`."""
        return self.of_rows(through_float32(lambda wide: self._over_root(self._sum(wide)), events))

    def of_rows(self, one: tf.Tensor) -> tf.Tensor:
        """Repeats what is of the window, `(1, ...)`, for each row, as `(B, ...)`."""
        one = tf.convert_to_tensor(one)
        return tf.tile(one, [self.batch] + [1] * (one.shape.rank - 1))

    @property
    def of_pairs(self) -> ValidPositions:
        """The positions of the pairs, of which each is an event of its own."""
        pairs = ValidPositions.__new__(ValidPositions)
        pairs._fill(self.batch, self.length)
        return pairs

    def placed(self, events: tf.Tensor) -> tuple[tf.Tensor, SharedWindow]:
        """Returns the events `(E, ...)` and the window: an event has the same place in all rows."""
        return events, self

    @property
    def newer(self) -> tf.Tensor:
        """How many events are newer than each one, int32 `(E,)`."""
        return tf.range(self.length - 1, -1, -1)

    @property
    def num_events(self) -> tf.Tensor:
        """Number of events of the window, an int32 scalar."""
        return self.length

    def _counts(self):
        """The length of the window, or 1 where it is empty, float32 `(1, 1)`, which broadcasts."""
        return tf.cast(tf.maximum(self.length, 1), tf.float32)[None, None]

    def _sum(self, events):
        return through_float32(lambda wide: tf.reduce_sum(wide, axis=0, keepdims=True), events)


def on_rows(part: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Repeats what belongs to the only user of a batch for each of its rows.

    Args:
        part: Tensor of shape `(1, ...)`; or `(batch, ...)`, which is returned as it is.
        rows: Tensor of shape `(batch, ...)`.

    Returns:
        Tensor of shape `(batch, ...)`.

    Example:

    >>> on_rows(tf.ones([1, 2]), tf.ones([3, 5])).shape
    TensorShape([3, 2])
    """
    if part.shape[0] != 1 or rows.shape[0] == 1:
        return part
    return tf.tile(part, [tf.shape(rows)[0]] + [1] * (part.shape.rank - 1))
