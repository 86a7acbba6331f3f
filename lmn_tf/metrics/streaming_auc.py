"""AUC of a stream of any length, in bounded memory."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.distribute.collectives import replica_count, replica_id
from lmn_tf.metrics.grouped_rows import GroupedRows
from lmn_tf.metrics.label_metric import LabelMetric

_INNER = 16.0  # bins have equal width for logits in [-16, 16)
_OCTAVES = 16  # beyond, their width doubles with each power of two, up to 2 ** 20
_MANTISSA_BITS = 23
_FIRST_ROWS = 4096


@keras.saving.register_keras_serializable(package="lmn_tf")
class StreamingAUC(LabelMetric):
    """Area under the ROC curve: `P(score+ > score-) + P(equal) / 2`.

    Rows are counted by class in bins of their logit: `num_bins` bins of equal width in [-16, 16),
    and beyond, up to 2 ** 20 (a million), bins whose width grows in proportion to the logit.
    Larger logits count as equal. Scores in the same bin count as tied. Except for these ties the
    result is exact; the exact AUC is within `error_bound()` of it.

    The first rows are stored as well. While these are all rows, the result is exact. Up to 4,096 of
    them are part of the state, so that `fit` and `evaluate` are exact in graphs, under XLA, and
    over replicas, each of which stores its share. Up to `exact_rows` are stored if the metric is
    updated eagerly, as by `lmn-tf evaluate`. Only if steps on parameter servers update a metric
    that the model was not compiled with, few rows are binned: these steps do not know each other's
    rows. Within a replica, the result is that of its own rows.

    With only one class the result is NaN, as after a NaN prediction.

    Args:
        num_bins: Integer, a power of two. By default, bins are 2 ** -11 of a logit wide, and beyond
            16 at most a thousandth of the logit. Defaults to `65536`.
        label_index: Integer. Index of the scored label. Defaults to `0`.
        from_logits: Boolean. Whether predictions are logits rather than probabilities. Defaults to
            `True`.
        name: String. Defaults to `"auc"`.
        dtype: Type of the result. Defaults to `None`.
        exact_rows: Integer. Number of rows stored for an exact result, 20 bytes each, of which
            graphs store at most 4,096; 0 stores none. Defaults to `1000000`.

    Call arguments:
        y_true: 0 or 1, of shape `(batch, num_labels)` or `(batch,)`.
        y_pred: Shaped like `y_true`.
        sample_weight: Weights of shape `(batch,)`, or `None`.

    Returns:
        Scalar.

    Raises:
        ValueError: If `num_bins` is not a power of two, or `exact_rows` is negative.

    Example:

    >>> metric = StreamingAUC()
    >>> metric.update_state([1.0, 0.0, 1.0, 0.0], [2.0, 1.0, 0.0, -1.0])
    >>> float(metric.result())
    0.75
    """

    def __init__(
        self,
        num_bins: int = 65536,
        label_index: int = 0,
        from_logits: bool = True,
        name: str = "auc",
        dtype: str | None = None,
        exact_rows: int = 1_000_000,
    ) -> None:
        super().__init__(name, label_index=label_index, from_logits=from_logits, dtype=dtype)
        if num_bins < 2 or num_bins & (num_bins - 1):
            raise ValueError(f"`num_bins` must be a power of two. Received: num_bins={num_bins}")
        if exact_rows < 0:
            raise ValueError(f"`exact_rows` must be 0 or more. Received: exact_rows={exact_rows}")
        self.num_bins = num_bins
        self.exact_rows = exact_rows
        self._per_octave = max(num_bins // 64, 1)
        self._per_side = self._per_octave * _OCTAVES
        # float64: float32 would stop counting at 2 ** 24. Row 0 negatives, row 1 positives.
        self.histogram = self.add_variable(
            (2, num_bins + 2 * self._per_side),
            initializer="zeros",
            dtype="float64",
            name="histogram",
        )
        self.rows = self.add_variable((), initializer="zeros", dtype="float64", name="rows")
        self.broken = self.add_variable((), initializer="zeros", dtype="float32", name="broken")
        # Score, label, weight and 1 of each row, at an index that no other row or replica uses, so
        # that states can be summed. The last column reveals two rows at the same index.
        self.first_rows = self.add_variable(
            (min(exact_rows, _FIRST_ROWS), 4),
            initializer="zeros",
            dtype="float32",
            name="first_rows",
        )
        self._stored, self._are_few = GroupedRows(spill_rows=np.inf), True

    def update_state(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> None:
        logits = tf.cast(self.take_label(y_pred, "y_pred"), tf.float32)
        labels = tf.cast(self.take_label(y_true, "y_true"), tf.float64)
        weights = self.take_weight(sample_weight, labels)
        if not self.from_logits:
            logits = tf.math.log(logits) - tf.math.log1p(-logits)
        self._add_first_rows(logits, labels, weights)
        self.rows.assign_add(tf.cast(tf.size(labels), tf.float64))
        self.broken.assign_add(tf.reduce_sum(tf.cast(tf.math.is_nan(logits), self.broken.dtype)))
        # Each row adds to both classes rather than to one, since labels may be soft.
        bins, size = self._bins(logits), self.histogram.shape[1]
        parts = weights * (1.0 - labels), weights * labels
        counts = [tf.math.unsorted_segment_sum(part, bins, size) for part in parts]
        self.histogram.assign_add(tf.stack(counts))
        if tf.executing_eagerly():
            self._keep(logits.numpy(), labels.numpy(), weights.numpy())

    def _bins(self, logits):
        """Returns the bin of each logit; the order of logits is preserved between bins."""
        inner = tf.floor((logits + _INNER) * (self.num_bins / (2 * _INNER)))
        inner = tf.cast(tf.clip_by_value(inner, 0.0, self.num_bins - 1.0), tf.int32)
        # The bits of a positive float, read as an integer, increase with it, linearly per octave.
        beyond = tf.bitcast(tf.abs(logits), tf.int32) - int(np.float32(_INNER).view(np.int32))
        steps = beyond // (2**_MANTISSA_BITS // self._per_octave)
        steps = tf.clip_by_value(steps, 0, self._per_side - 1)
        above = self._per_side + self.num_bins + steps
        bins = tf.where(logits < -_INNER, self._per_side - 1 - steps, self._per_side + inner)
        return tf.where(logits >= _INNER, above, bins)

    def _add_first_rows(self, logits, labels, weights):
        """Adds rows to `first_rows`; rows beyond its size are dropped."""
        number = tf.cast(tf.convert_to_tensor(self.rows), tf.int64)
        rows_of_state = number + tf.range(tf.size(logits, tf.int64))
        if replica_count() > 1:
            rows_of_state = rows_of_state * replica_count() + replica_id()
        size = self.first_rows.shape[0]
        rows_of_state = tf.where(rows_of_state < size, rows_of_state, -1)
        columns = [tf.cast(column, tf.float32) for column in (logits, labels, weights)]
        rows = tf.stack([*columns, tf.ones_like(logits)], axis=1)
        added = tf.math.unsorted_segment_sum(rows, rows_of_state, size)
        self.first_rows.assign(tf.convert_to_tensor(self.first_rows) + added)

    def _keep(self, logits, labels, weights):
        if self._stored.num_rows + len(logits) > self.exact_rows:
            self._are_few = False
            self._stored.clear()
        if self._are_few:
            self._stored.append(np.zeros(len(logits), np.int64), logits, labels, weights)

    @property
    def is_exact(self) -> bool:
        """Whether the result is computed from all rows; defined in eager code only."""
        return self._keeps_all() or bool(self._has_all(tf.convert_to_tensor(self.first_rows)))

    def _keeps_all(self):
        rows = float(keras.ops.convert_to_numpy(self.rows))
        return self._are_few and rows == self._stored.num_rows

    def _has_all(self, first_rows):
        rows_at = first_rows[:, 3]  # number of rows at each index
        rows = tf.cast(tf.convert_to_tensor(self.rows), tf.float32)
        return tf.logical_and(tf.reduce_all(rows_at <= 1), tf.equal(tf.reduce_sum(rows_at), rows))

    def result(self) -> tf.Tensor:
        if tf.executing_eagerly() and self._keeps_all():
            rows = np.concatenate(list(self._stored.parts()))
            auc = _auc(_own_bins(rows["score"], rows["label"], rows["weight"]))
        else:
            first_rows = tf.convert_to_tensor(self.first_rows)
            histogram = tf.convert_to_tensor(self.histogram)
            auc = tf.cond(
                self._has_all(first_rows),
                lambda: _auc(_own_bins(*tf.unstack(first_rows[:, :3], axis=1))),
                lambda: _auc(histogram),
            )
        whole = tf.equal(tf.convert_to_tensor(self.broken), 0)
        return tf.cast(tf.where(whole, auc, tf.constant(np.nan, tf.float64)), self.dtype)

    def error_bound(self) -> float:
        """Returns an upper bound of the distance of the exact AUC from `result()`, a float."""
        negatives, positives = keras.ops.convert_to_numpy(self.histogram)
        pairs = positives.sum() * negatives.sum()
        if not pairs > 0:
            return float("nan")
        return 0.0 if self.is_exact else float(0.5 * (positives @ negatives) / pairs)

    def counts_by_score(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the rows by predicted probability, for curves and calibration.

        Returns:
            Tuple `(probabilities, negatives, positives)` of float64 arrays, ascending in the
            probability: the middle of each bin with rows, and the weights of its rows by class.

        Example:

        >>> metric = StreamingAUC()
        >>> metric.update_state([1.0, 0.0, 1.0], [2.0, 0.0, 2.0])
        >>> [part.round(3).tolist() for part in metric.counts_by_score()]
        [[0.5, 0.881], [1.0, 0.0], [0.0, 2.0]]
        """
        negatives, positives = np.asarray(keras.ops.convert_to_numpy(self.histogram))
        filled = np.flatnonzero(negatives + positives)
        inner = filled - self._per_side
        logits = (inner + 0.5) * (2 * _INNER / self.num_bins) - _INNER
        # Beyond, probabilities are 0 or 1 in any picture.
        logits = np.clip(logits, -_INNER, _INNER)
        return 1.0 / (1.0 + np.exp(-logits)), negatives[filled], positives[filled]

    def reset_state(self) -> None:
        """Drops all rows."""
        super().reset_state()
        self._stored.clear()
        self._are_few = True

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["num_bins"] = self.num_bins
        config["exact_rows"] = self.exact_rows
        return config


def _own_bins(scores, labels, weights):
    """Returns a histogram with one bin for each distinct score."""
    order = tf.argsort(scores)
    scores = tf.gather(scores, order)
    labels, weights = (
        tf.cast(tf.gather(column, order), tf.float64) for column in (labels, weights)
    )
    starts = tf.cast(scores[1:] != scores[:-1], tf.int32)
    bins = tf.concat([tf.zeros_like(order[:1]), tf.cumsum(starts)], axis=0)
    parts = weights * (1.0 - labels), weights * labels
    return tf.stack([tf.math.unsorted_segment_sum(part, bins, tf.size(bins)) for part in parts])


def _auc(histogram):
    """Returns the AUC of ordered bins, NaN with only one class."""
    negatives, positives = tf.unstack(histogram)
    below = tf.cumsum(negatives, exclusive=True)
    wins = tf.tensordot(positives, below + 0.5 * negatives, 1)
    pairs = tf.reduce_sum(positives) * tf.reduce_sum(negatives)
    nan = tf.constant(np.nan, tf.float64)
    return tf.where(pairs > 0, wins / tf.where(pairs > 0, pairs, 1.0), nan)
