"""AUC of a stream of any length, in bounded memory."""

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.metrics.label_metric import LabelMetric

_MAX_LOGIT = 16.0


@keras.saving.register_keras_serializable(package="lmn_tf")
class StreamingAUC(LabelMetric):
    """Area under the ROC curve: `P(score+ > score-) + P(equal) / 2`, from a histogram of logits.

    Logits are clipped to [-16, 16] and counted, by class, in bins of equal width. Scores in one
    bin count as tied; beyond those ties the result is exact, and `error_bound()` says how far off
    they can have put it (the exact AUC lies within that bound of the result). With one class only
    there is no AUC: the result is NaN, as it is after a NaN prediction.

    Args:
        num_bins: Integer, a power of two. The default's bins are 2 ** -11 of a logit wide.
            Defaults to `65536`.
        label_index: Integer. Which label of `(batch, num_labels)` is scored. Defaults to `0`.
        from_logits: Boolean. Whether predictions are logits, else probabilities. Defaults to
            `True`.
        name: String. Defaults to `"auc"`.
        dtype: Type of the result. Defaults to `None`.

    Call arguments:
        y_true: 0 or 1, of shape `(batch, num_labels)` or `(batch,)`.
        y_pred: Shaped like `y_true`.
        sample_weight: Weights of shape `(batch,)`, or `None`.

    Returns:
        Scalar.

    Raises:
        ValueError: If `num_bins` is no power of two.

    Example:

    >>> metric = StreamingAUC()
    >>> metric.update_state([1.0, 0.0, 1.0, 0.0], [2.0, 1.0, 0.0, -1.0])
    >>> float(metric.result())
    0.75
    """

    def __init__(self, num_bins=65536, label_index=0, from_logits=True, name="auc", dtype=None):
        super().__init__(name, label_index=label_index, from_logits=from_logits, dtype=dtype)
        if num_bins < 2 or num_bins & (num_bins - 1):
            raise ValueError(f"`num_bins` must be a power of two. Received: num_bins={num_bins}")
        self.num_bins = num_bins
        # float64: float32 would stop counting at 2 ** 24. Row 0 negatives, row 1 positives.
        self.histogram = self.add_variable(
            (2, num_bins), initializer="zeros", dtype="float64", name="histogram"
        )
        self.broken = self.add_variable((), initializer="zeros", dtype="float32", name="broken")

    def update_state(self, y_true, y_pred, sample_weight=None):
        logits = tf.cast(self.take_label(y_pred, "y_pred"), tf.float32)
        labels = tf.cast(self.take_label(y_true, "y_true"), tf.float64)
        weights = self.take_weight(sample_weight, labels)
        if not self.from_logits:
            logits = tf.math.log(logits) - tf.math.log1p(-logits)
        self.broken.assign_add(tf.reduce_sum(tf.cast(tf.math.is_nan(logits), self.broken.dtype)))
        # Rounding keeps order, so rows trade places with rows of their own bin only.
        logits = tf.clip_by_value(logits, -_MAX_LOGIT, _MAX_LOGIT)
        bins = tf.cast(
            tf.floor((logits + _MAX_LOGIT) * (self.num_bins / (2 * _MAX_LOGIT))), "int32"
        )
        bins = tf.clip_by_value(bins, 0, self.num_bins - 1)
        # Two weights a row rather than a bin chosen by class: labels may be soft.
        parts = tf.stack([weights * (1.0 - labels), weights * labels])
        counts = [
            tf.math.unsorted_segment_sum(part, bins, self.num_bins) for part in tf.unstack(parts)
        ]
        self.histogram.assign_add(tf.stack(counts))

    def result(self):
        negatives, positives = tf.unstack(tf.convert_to_tensor(self.histogram))
        below = tf.cumsum(negatives, exclusive=True)
        wins = tf.tensordot(positives, below + 0.5 * negatives, 1)
        pairs = tf.reduce_sum(positives) * tf.reduce_sum(negatives)
        nan = tf.constant(np.nan, tf.float64)
        valid = tf.logical_and(pairs > 0, tf.equal(tf.convert_to_tensor(self.broken), 0))
        auc = tf.where(valid, wins / tf.where(valid, pairs, 1.0), nan)
        return tf.cast(auc, self.dtype)

    def error_bound(self):
        """Returns how far at most the exact AUC lies from `result()`, a float."""
        negatives, positives = keras.ops.convert_to_numpy(self.histogram)
        pairs = positives.sum() * negatives.sum()
        return float(0.5 * (positives @ negatives) / pairs) if pairs > 0 else float("nan")

    def get_config(self):
        config = super().get_config()
        config["num_bins"] = self.num_bins
        return config
