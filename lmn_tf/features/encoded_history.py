"""An encoded sequence of a batch."""

import functools

import tensorflow as tf

from lmn_tf.ops.sequence.masked import take_positions, top_positions
from lmn_tf.ops.sequence.shared_window import SharedWindow
from lmn_tf.ops.sequence.valid_positions import ValidPositions
from lmn_tf.ops.sequence.windows import Windows

# The parts of the padded form, and the attributes that hold them.
_PADDED = {"history": "padded", "mask": "mask", "target": "target", "ids": "padded_ids"}


class EncodedHistory:
    """A sequence of a batch, encoded: its events once, and the windows of the rows into them.

    Args:
        events: Float tensor of shape `(events, d)`: what depends on the event alone.
        event_windows: `Windows` of the rows into the events; `SharedWindow` where all rows are of
            one user; or `ValidPositions` where the batch came in its padded form.
        row_part: Float tensor of shape `(combinations, d)`: what fields that depend on the row as
            well add to the vector of an event, such as the time that has passed; or `None`.
            Defaults to `None`.
        row_windows: `Combinations` of the events with these fields; or `event_windows`, where each
            event has one value of them. Defaults to `None`, where there is no `row_part`.
        target: Float tensor of shape `(batch, d)`: the candidate in the space of the events.
            Defaults to `None`.
        ids: Dictionary from an item feature to the pair of the ids of `vectors`, `(events, ...)`
            or `(combinations, ...)`, and the candidate's `(batch, ...)`. Defaults to `None`.
        crossed_ids: Dictionary from the key of a cross of fields to its ids of `vectors`,
            `(events,)` or `(combinations,)`. Defaults to `None`.

    Attributes:
        vectors: Float tensor of shape `(events, d)`: the events with all their fields. Where a
            field depends on the row as well, each combination of an event and such fields is one,
            `(combinations, d)`.
        windows: The windows of the rows into `vectors`.

    Example:

    >>> from lmn_tf.ops import Windows
    >>> events = tf.constant([[1.0], [2.0], [3.0]])
    >>> history = EncodedHistory(events, Windows([0, 1], [2, 2], num_events=3))
    >>> history.padded[:, :, 0].numpy().tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """

    def __init__(
        self,
        events: tf.Tensor,
        event_windows: ValidPositions,
        row_part: tf.Tensor | None = None,
        row_windows: ValidPositions | None = None,
        target: tf.Tensor | None = None,
        ids: dict[str, tuple[tf.Tensor, tf.Tensor]] | None = None,
        crossed_ids: dict[str, tf.Tensor] | None = None,
    ) -> None:
        self.events = events
        self.event_windows = event_windows
        self.target = target
        self.ids = ids or {}
        self.crossed_ids = crossed_ids or {}
        self.windows = event_windows if row_windows is None else row_windows
        self._row_part = row_part

    @functools.cached_property
    def vectors(self) -> tf.Tensor:
        """The events with all their fields."""
        if self._row_part is None:
            return self.events
        return self.windows.combined(self.events) + self._row_part

    def of_fields(self, fields: str) -> tuple[tf.Tensor, ValidPositions]:
        """Returns the events with some of their fields, and the windows of the rows into them.

        Args:
            fields: `"event"`, those that depend on the event alone; or `"all"`.
        """
        if fields == "event":
            return self.events, self.event_windows
        return self.vectors, self.windows

    @functools.cached_property
    def padded(self) -> tf.Tensor:
        """The events of each row in the padded form, `(batch, length, d)`; 0 at padding.

        Where all rows share one window, `(1, length, d)`, which broadcasts.
        """
        return self.windows.padded(self.vectors)

    @property
    def mask(self) -> tf.Tensor:
        """Boolean tensor of shape `(batch, length)`, true where `padded` is valid."""
        return self.windows.padded_mask

    def __getitem__(self, key: str) -> tf.Tensor | dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """Returns a part of `as_padded`."""
        return getattr(self, _PADDED[key])

    def as_padded(self) -> dict[str, tf.Tensor | dict[str, tuple[tf.Tensor, tf.Tensor]]]:
        """Returns the padded form, as a call of `FeatureEncoder` does.

        Returns:
            Dictionary of `"history"`, `"mask"`, `"target"` and `"ids"`.
        """
        return {key: self[key] for key in _PADDED}

    def newest(self, count: int) -> "EncodedHistory":
        """Returns the history with at most `count` events of each row, the newest; without `ids`.

        Args:
            count: Integer.
        """
        if isinstance(self.windows, SharedWindow):
            windows = self.windows.newest(count)
            return EncodedHistory(self.vectors[-count:], windows, target=self.target)
        if isinstance(self.windows, Windows):
            return EncodedHistory(self.vectors, self.windows.newest(count), target=self.target)
        positions, kept = top_positions(tf.zeros_like(self.mask, tf.float32), self.mask, count)
        windows = ValidPositions(kept, kept)
        events = windows.take(take_positions(self.padded, positions))
        return EncodedHistory(events, windows, target=self.target)

    @functools.cached_property
    def padded_ids(self) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """`ids` with the events' ids in the padded form, `(batch, length, ...)`."""
        return {
            feature: (self.windows.padded(events), candidate)
            for feature, (events, candidate) in self.ids.items()
        }
