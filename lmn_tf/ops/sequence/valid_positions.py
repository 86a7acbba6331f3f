"""Flat lists of the valid positions of padded sequences, by row and by step."""

from __future__ import annotations

import tensorflow as tf

from lmn_tf.ops.compile import is_compiling_with_xla
from lmn_tf.ops.rows.dense_gather import permuted
from lmn_tf.ops.sequence.masked import masked_softmax, through_float32, widened, zero_padding


class StepOrder:
    """The positions that `ValidPositions` lists, ordered by step.

    The first valid positions of all rows come first, then the second ones, and so on, rows of
    longer sequences before the others: the rows that reach a step are then the first rows of the
    step before, and a recurrence skips padding. Inside XLA, and without a mask, every step has all
    rows in their original order, padding included.

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

    def __init__(self, positions: ValidPositions) -> None:
        self._batch, self._length = positions.batch, positions.length
        self._is_compact = positions.is_compact
        self.rows = self._batch
        if not self._is_compact:
            return
        counts = tf.reduce_sum(tf.cast(positions.mask, tf.int32), axis=1)
        steps = tf.range(tf.maximum(tf.reduce_max(counts), 1))
        self.rows = tf.reduce_sum(tf.cast(counts > steps[:, None], tf.int32), axis=1)
        by_length = tf.argsort(counts, direction="DESCENDING", stable=True)
        ranks, before = tf.argsort(by_length), tf.cumsum(self.rows, exclusive=True)
        starts = tf.cumsum(counts, exclusive=True)
        # Target and source index of each position.
        of_list = tf.repeat(tf.range(self._batch), counts)
        step = tf.range(tf.size(of_list)) - tf.gather(starts, of_list)
        self._to = tf.gather(before, step) + tf.gather(ranks, of_list)
        step = tf.repeat(steps, self.rows)
        row = tf.gather(by_length, tf.range(tf.size(step)) - tf.gather(before, step))
        self._from = tf.gather(starts, row) + step
        last = tf.gather(before, tf.maximum(counts - 1, 0)) + ranks
        self._last = tf.where(counts > 0, last, tf.size(step))

    def take(self, listed: tf.Tensor) -> tf.Tensor:
        """Orders a flat list `(N, w)` by step."""
        if self._is_compact:
            return permuted(listed, self._to, inverse=self._from)
        return self._turned(listed, self._batch, self._length)

    def put(self, ordered: tf.Tensor) -> tf.Tensor:
        """Restores the list order of `(N, w)` rows that are ordered by step."""
        if self._is_compact:
            return permuted(ordered, self._from, inverse=self._to)
        return self._turned(ordered, self._length, self._batch)

    def last(self, states: tf.Tensor) -> tf.Tensor:
        """Returns the last of the `(N, w)` states of each row, as `(B, w)`; 0 for empty rows."""
        if not self._is_compact:
            width = states.shape[-1]
            steps = tf.reshape(states, [self._length, self._batch, width])
            return tf.reduce_sum(steps[-1:], axis=0)  # 0 where there is no step
        zeros = tf.zeros([1, states.shape[-1]], states.dtype)
        return tf.gather(tf.concat([states, zeros], axis=0), self._last)

    def _turned(self, flat, rows, columns):
        width = flat.shape[-1]
        turned = tf.transpose(tf.reshape(flat, [rows, columns, width]), [1, 0, 2])
        return tf.reshape(turned, [-1, width])


class ValidPositions:
    """The valid positions of a padded batch, as a flat list.

    Half of a padded batch is often padding. Operations that are expensive per
    position (a search, an MLP) run on the flat list of the `N` valid positions,
    whose results are put back in place. `N` is known only at run time, so inside
    XLA the list holds all `B * L` positions, and `valid` marks those that count.

    Each position is an event that one row sees; `Windows` has the same methods for events that many
    rows share. Layers are written for both: they work on events while they can, and on pairs of a
    row and an event of its window where they must.

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

    def __init__(self, mask: tf.Tensor | None, like: tf.Tensor) -> None:
        self._fill(tf.shape(like)[0], tf.shape(like)[1], like.shape[:2])
        self.mask = None if mask is None else tf.cast(mask, tf.bool)
        self.is_compact = mask is not None and not is_compiling_with_xla()
        if self.is_compact:
            self._flat_mask = tf.reshape(self.mask, [-1])
            self._indices = tf.cast(tf.where(self._flat_mask)[:, 0], tf.int32)
            self._rows = self._indices // self.length
        elif mask is not None:
            self.valid = tf.reshape(self.mask, [-1])

    def _fill(self, batch, length, static=(None, None)):
        """Begins with positions of which all are valid."""
        self.batch, self.length = batch, length
        self._static = static
        self.mask = self.valid = None
        self.is_compact = False

    def take(self, sequence: tf.Tensor) -> tf.Tensor:
        """Lists the positions of a `(B, L, ...)` tensor as `(N, ...)`."""
        sequence = tf.convert_to_tensor(sequence)
        if self.is_compact:
            return tf.ensure_shape(self._listed(sequence), [None, *sequence.shape[2:]])
        if sequence.shape.rank > 2:
            sequence = zero_padding(sequence, self.mask)
        return _flat(sequence)

    def put(self, flat: tf.Tensor) -> tf.Tensor:
        """Puts `(N, ...)` back in place as `(B, L, ...)`, with zeros at padding."""
        flat = tf.convert_to_tensor(flat)
        if self.is_compact:
            sequence = self._placed(flat)
        else:
            shape = tf.concat([[self.batch, self.length], tf.shape(flat)[1:]], 0)
            sequence = tf.reshape(flat, shape)
            if self.mask is not None:
                mask = tf.reshape(self.mask, tf.concat([shape[:2], tf.ones_like(shape[2:])], 0))
                sequence = tf.where(mask, sequence, tf.zeros([], flat.dtype))
        return tf.ensure_shape(sequence, [*self._static, *flat.shape[1:]])

    def padded(self, events: tf.Tensor) -> tf.Tensor:
        """Takes the events `(N, ...)` of the rows in their padded form, as `(B, L, ...)`."""
        return self.put(self.pairs(events))

    @property
    def padded_mask(self) -> tf.Tensor | None:
        """Boolean tensor of shape `(B, L)`, true where `padded` is valid; `None` for everywhere."""
        return self.mask

    def pairs(self, events: tf.Tensor) -> tf.Tensor:
        """Takes the events `(N, ...)` of all pairs: here each event is one."""
        return events

    def of_events(self, per_row: tf.Tensor) -> tf.Tensor:
        """Takes for each event its row of `(B, d)`, as `(N, d)`."""
        return self.repeat(per_row)

    def combined(self, events: tf.Tensor) -> tf.Tensor:
        """Takes the events of all combinations, as `Combinations` do: here each event is one."""
        return events

    @property
    def of_pairs(self) -> ValidPositions:
        """The positions of the pairs, of which each is an event of its own."""
        return self

    def placed(self, events: tf.Tensor) -> tuple[tf.Tensor, ValidPositions]:
        """Returns one vector for each place of an event in a row, and the windows into them.

        Args:
            events: Float tensor of shape `(N, ...)`.

        Returns:
            Pair of a tensor whose vectors `newer` is of, and the windows into them.
        """
        return self.pairs(events), self.of_pairs

    @property
    def newer(self) -> tf.Tensor:
        """How many newer events the row of each pair has, int32 `(N,)`."""
        if self.mask is None:
            steps = tf.range(self.length - 1, -1, -1)
            return tf.tile(steps, [self.batch])
        valid = tf.cast(self.mask, tf.int32)
        return self.take(tf.cumsum(valid, axis=1, exclusive=True, reverse=True))

    @property
    def event_weights(self) -> tf.Tensor | None:
        """How often each event counts in a mean over all pairs, `(N,)`.

        Boolean where padding is listed, whose content may be NaN; float32 where rows share events;
        or `None`, where each counts once.
        """
        return self.valid

    @property
    def num_events(self) -> tf.Tensor:
        """Number of events that are listed, an int32 scalar."""
        return tf.size(self._indices) if self.is_compact else self.batch * self.length

    @property
    def num_pairs(self) -> tf.Tensor:
        """Number of valid positions of the batch, an int32 scalar."""
        if self.mask is None:
            return self.batch * self.length
        return tf.reduce_sum(tf.cast(self.mask, tf.int32))

    def event_sum(self, events: tf.Tensor) -> tf.Tensor:
        """Sums `(N, d)` over the events of each row, as `(B, d)`."""
        return self.row_sum(events)

    def event_mean(self, events: tf.Tensor) -> tf.Tensor:
        """Averages `(N, d)` over the events of each row; exactly 0 where there are none."""
        return through_float32(lambda wide: self._averaged(self.event_sum(wide)), events)

    def event_sqrtn(self, events: tf.Tensor) -> tf.Tensor:
        """Sums `(N, d)` over the events of each row, and divides by the root of their number."""
        return through_float32(lambda wide: self._over_root(self.event_sum(wide)), events)

    def repeat(self, per_row: tf.Tensor) -> tf.Tensor:
        """Repeats `(B, d)` rows for each of their positions, as `(N, d)`."""
        if self.is_compact:
            return self._repeated(per_row)
        width = per_row.shape[-1]
        wide = tf.broadcast_to(per_row[:, None, :], [self.batch, self.length, width])
        return tf.reshape(wide, [-1, width])

    def row_sum(self, flat: tf.Tensor) -> tf.Tensor:
        """Sums `(N, d)` over the valid positions of each row, as `(B, d)`."""
        total = self._summed(flat) if self.is_compact else tf.reduce_sum(self.put(flat), axis=1)
        return tf.ensure_shape(total, [self._static[0], flat.shape[-1]])

    def row_max(self, flat: tf.Tensor) -> tf.Tensor:
        """Returns the largest of 0 and the `(N, d)` of each row, as `(B, d)`; 0 for empty rows."""
        return tf.maximum(tf.reduce_max(self.put(flat), axis=1), 0.0)

    def row_softmax(self, scores: tf.Tensor) -> tf.Tensor:
        """Softmax of `(N,)` scores over the valid positions of each row; see `masked_softmax`."""
        return self.take(masked_softmax(self.put(scores), self.mask))

    # Each function is the gradient of the other one of its pair. TensorFlow's own gradients of
    # these gathers and sums are scatters and unsorted sums, which run on one core.

    @property
    def _listed(self):
        @tf.custom_gradient
        def listed(sequence):
            return tf.gather(_flat(sequence), self._indices), self._placed

        return listed

    @property
    def _placed(self):
        @tf.custom_gradient
        def placed(flat):
            # Padding reads the row of zeros behind the last one.
            rows = tf.concat(
                [flat, tf.zeros(tf.concat([[1], tf.shape(flat)[1:]], 0), flat.dtype)], axis=0
            )
            order = tf.cumsum(tf.cast(self._flat_mask, tf.int32)) - 1
            order = tf.where(self._flat_mask, order, tf.size(self._indices))
            shape = tf.concat([[self.batch, self.length], tf.shape(flat)[1:]], 0)
            return tf.reshape(tf.gather(rows, order), shape), self._listed

        return placed

    @property
    def _repeated(self):
        @tf.custom_gradient
        def repeated(per_row):
            return tf.gather(per_row, self._rows), self._summed

        return repeated

    @property
    def _summed(self):
        @tf.custom_gradient
        def summed(flat):
            return segment_sum(flat, self._rows, self.batch), self._repeated

        return summed

    def row_mean(self, flat: tf.Tensor) -> tf.Tensor:
        """Averages `(N, d)` over the valid positions of each row; 0 where there are none."""
        return through_float32(lambda wide: self._averaged(self.row_sum(wide)), flat)

    def _averaged(self, total):
        return total / tf.cast(self._counts(), total.dtype)

    def _over_root(self, total):
        return total / tf.cast(tf.sqrt(self._counts()), total.dtype)

    def _counts(self):
        """The number of events of each row, or 1 where there are none, float32 `(B, 1)`."""
        if self.mask is None:
            count = tf.fill([self.batch, 1], tf.cast(self.length, tf.float32))
        else:
            count = tf.reduce_sum(tf.cast(self.mask, tf.float32), axis=1, keepdims=True)
        return tf.maximum(count, 1.0)

    def mean(self, events: tf.Tensor) -> tf.Tensor:
        """Averages `(N,)` values of events over all pairs; 0 when there are none."""
        weights = self.event_weights
        if weights is None:
            return tf.reduce_sum(events) / tf.cast(tf.maximum(tf.size(events), 1), events.dtype)
        # Not a product: what no row sees may be NaN.
        weights = tf.cast(weights, events.dtype)
        seen = tf.where(weights > 0, events * weights, tf.zeros([], events.dtype))
        return tf.reduce_sum(seen) / tf.maximum(tf.reduce_sum(weights), 1.0)


def segment_sum(values: tf.Tensor, segments: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """Sums sorted segments, in float32 where values are half precision.

    Args:
        values: Float tensor of shape `(N, ...)`.
        segments: Integer tensor of shape `(N,)`, not decreasing.
        count: Integer, or scalar integer tensor. Number of segments; the last ones may be empty.

    Returns:
        Tensor of shape `(count, ...)`.
    """
    total = tf.math.segment_sum(widened(values), segments)
    missing = count - tf.shape(total)[0]
    total = tf.pad(total, [[0, missing]] + [[0, 0]] * (values.shape.rank - 1))
    return tf.cast(total, values.dtype)


def _flat(sequence):
    return tf.reshape(sequence, tf.concat([[-1], tf.shape(sequence)[2:]], 0))
