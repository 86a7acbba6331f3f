"""The recurrences that the rows of a batch share."""

from __future__ import annotations

import tensorflow as tf

from lmn_tf.ops.compile import compiles_for_cpu
from lmn_tf.ops.sequence.combinations import Combinations
from lmn_tf.ops.sequence.shared_window import SharedWindow
from lmn_tf.ops.sequence.valid_positions import ValidPositions
from lmn_tf.ops.sequence.windows import Windows


class Chains:
    """The recurrences that the rows of a batch share: their windows, each beginning once.

    A recurrence runs over a window from its first event on. Rows whose windows begin with the same
    event read one recurrence, the chain, each at its own length: what comes later has no part in
    the states before it, so this is exact. A chain is as long as the longest of its rows.

    Rows whose windows begin with different events share nothing, although they see the same events:
    the states depend on where a recurrence begins. So it is where histories are longer than a
    batch's longest windows and only their newest events are kept. Neither do rows in the padded
    form, or rows that see other values in the same event (`Combinations`): each is a chain of its
    own. Where all rows share one window, it is the only chain.

    Args:
        windows: `Windows` of the rows into the events; `Combinations`, or `ValidPositions`.
        is_compiled: Boolean. Whether the recurrence is compiled for CPUs, once for each shape. The
            padded form of the chains then has one of few shapes. Defaults to `False`.

    Attributes:
        windows: The windows of the chains into the events, in the order of the rows.
        rows: `Windows` of the rows into the steps of all chains, one chain after the other; or
            `ValidPositions`.

    Example:

    >>> chains = Chains(Windows([0, 0, 1], [1, 2, 2], num_events=3))
    >>> chains.windows.lengths.numpy(), chains.rows.first.numpy()
    (array([2, 2], dtype=int32), array([0, 0, 2], dtype=int32))
    >>> chains.counts.numpy()
    array([[2., 1.],
           [1., 1.]], dtype=float32)
    """

    def __init__(self, windows: ValidPositions, is_compiled: bool = False) -> None:
        self._is_rounded = is_compiled and compiles_for_cpu()
        self._is_shared = isinstance(windows, Windows) and not isinstance(windows, Combinations)
        self._is_one = isinstance(windows, SharedWindow)
        if self._is_one:
            self.windows, self.rows = SharedWindow(windows.num_events, batch=1), windows
            return
        if not self._is_shared:
            self.windows, self.rows = windows, windows.of_pairs
            return
        # Ends never decrease: the last row of a chain is its longest one.
        begins = windows.first[1:] != windows.first[:-1]
        some = tf.ones_like(windows.first[:1], tf.bool)  # none, where there is no row
        longest = tf.where(tf.concat([begins, some], axis=0))[:, 0]
        first, lengths = (tf.gather(part, longest) for part in (windows.first, windows.lengths))
        self.windows = Windows(first, lengths, windows.num_events)
        begins = tf.cast(tf.concat([some, begins], axis=0), tf.int32)
        self._chain = tf.cumsum(begins) - 1  # (B,)
        before = tf.cumsum(lengths, exclusive=True)
        self.rows = Windows(tf.gather(before, self._chain), windows.lengths, self.windows.num_pairs)

    def padded(self, events: tf.Tensor) -> tf.Tensor:
        """Takes the events `(E, d)` of all chains, as `(chains, steps, d)`; 0 at padding."""
        return self._rounded(self.windows.padded(events))

    @property
    def mask(self) -> tf.Tensor | None:
        """Boolean tensor of shape `(chains, steps)`, true where `padded` is valid."""
        mask = self.windows.padded_mask
        if mask is None and self._is_rounded:
            mask = tf.ones([self.windows.batch, self.windows.length], tf.bool)
        return None if mask is None else self._rounded(mask)

    @property
    def counts(self) -> tf.Tensor | None:
        """How many rows see each step, float32 `(chains, steps)`; `None` where each is a chain."""
        if not self._is_shared:
            return None
        return self._rounded(self.windows.put(self.rows.event_weights))

    def last(self, states: tf.Tensor, initial: tf.Tensor) -> tf.Tensor:
        """Takes the state of each row after its last event.

        Args:
            states: Float tensor of shape `(steps, chains, ...)`: the states after each step, which
                padding carries over.
            initial: Float tensor of shape `(batch, ...)`: the states of empty rows.

        Returns:
            Tensor like `initial`.
        """
        if self._is_one:
            return self.rows.of_rows(states[-1, :1])
        if not self._is_shared:
            return states[-1, : self.windows.batch]
        some = tf.reshape(self.rows.lengths > 0, [-1] + [1] * (initial.shape.rank - 1))
        return tf.where(some, self._last(states), initial)

    def _rounded(self, padded):
        if not self._is_rounded:
            return padded
        sizes = tf.shape(padded)[:2]
        missing = tf.stack([_rounded_up(sizes[0], 4), _rounded_up(sizes[1], 16)]) - sizes
        ends = tf.stack([tf.zeros_like(missing), missing], axis=1)
        return tf.pad(padded, tf.pad(ends, [[0, padded.shape.rank - 2], [0, 0]]))

    @property
    def _last(self):
        @tf.custom_gradient
        def last(states):
            shape = tf.shape(states)
            step = tf.maximum(self.rows.lengths - 1, 0)
            index = step * shape[1] + self._chain  # (B,)

            def gradient(upstream):
                # Rows with the same state stand together: each state is written once.
                changes = tf.cast(index[1:] != index[:-1], tf.int32)
                distinct = tf.pad(tf.cumsum(changes), [[tf.minimum(tf.size(index), 1), 0]])
                total = tf.math.segment_sum(upstream, distinct)
                places = tf.math.segment_max(index, distinct)
                flat = tf.concat([[shape[0] * shape[1]], shape[2:]], axis=0)
                return tf.reshape(tf.scatter_nd(places[:, None], total, flat), shape)

            flat = tf.reshape(states, tf.concat([[-1], shape[2:]], axis=0))
            return tf.gather(flat, index), gradient

        return last


def _rounded_up(size, parts):
    """The next of numbers that divide the way from each power of two to the next one evenly."""
    powers = 2 ** tf.range(1, 31)
    power = powers[tf.searchsorted(powers, size[None])[0]] // 2  # below `size`, at least 1
    step = tf.maximum(power // parts, 1)
    return tf.maximum((size + step - 1) // step * step, 1)
