"""AUC within groups, averaged over groups."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.metrics.grouped_rows import GroupedRows, group_aucs
from lmn_tf.metrics.label_metric import LabelMetric

# In the order of the weights in `_compute`.
_NAMES = {"impressions": "gauc", "uniform": "qauc", "clicks": "click_gauc"}


@keras.saving.register_keras_serializable(package="lmn_tf")
class GroupedAUC(LabelMetric):
    """Exact AUC of the rows of each group, averaged over groups.

    With `weight="impressions"` (GAUC) a group is weighted by its rows' weights, with `"clicks"` by
    its positives' weights. With `"uniform"` (QAUC) all groups are weighted equally. A group with
    only one class has no AUC: it is excluded from numerator and denominator, and counted as
    skipped. Rows without a group, such as those without a user, are excluded and counted as
    ungrouped. The result is NaN if no group remains, or after a NaN prediction.

    Rows are stored until `reset_state`, 20 bytes each. Above `spill_rows` they are moved to
    temporary files, of which one partition (with all rows of its groups) is in memory at a time.
    In eager code, as at the end of an epoch and of `evaluate`, `result()` computes the value.
    Inside a `tf.function`, as in each step of `fit`, it returns the last computed value, initially
    NaN. Replicas of one process share the rows; each worker process has its own.

    Args:
        weight: `"impressions"`, `"uniform"` or `"clicks"`. Defaults to `"impressions"`.
        label_index: Integer. Index of the scored label. Defaults to `0`.
        spill_rows: Integer above zero. Largest number of rows in memory. Defaults to `4000000`.
        from_logits: Boolean. Accepted for symmetry; it does not change a ranking. Defaults to
            `True`.
        name: String. Defaults to `None`: `"gauc"`, `"qauc"` or `"click_gauc"`, by weight.
        dtype: Type of the result. Defaults to `None`.

    Call arguments:
        y_true: 0 or 1, of shape `(batch, num_labels)` or `(batch,)`.
        y_pred: Shaped like `y_true`.
        sample_weight: Weights of shape `(batch,)`, or `None`.
        groups: Integers of shape `(batch,)`: the group of each row. The smallest int64 means no
            group.

    Returns:
        Scalar.

    Raises:
        ValueError: If `weight` is unknown, `spill_rows` is not positive, or `groups` is missing.

    Example:

    >>> metric = GroupedAUC()
    >>> metric.update_state([1.0, 0.0, 1.0, 0.0], [0.9, 0.1, 0.2, 0.7], groups=[7, 7, 8, 8])
    >>> float(metric.result()), metric.compute()["groups"]
    (0.5, 2)

    Reference:
        Zhou et al. 2018, "Deep interest network for click-through rate prediction", equation 7.
    """

    needs_groups = True

    def __init__(
        self,
        weight: str = "impressions",
        label_index: int = 0,
        spill_rows: int = 4_000_000,
        from_logits: bool = True,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        if weight not in _NAMES:
            raise ValueError(
                f"`weight` must be one of {', '.join(map(repr, _NAMES))}. Received: "
                f"weight={weight!r}"
            )
        if spill_rows < 1:
            raise ValueError(
                f"`spill_rows` must be a positive integer. Received: spill_rows={spill_rows}"
            )
        super().__init__(
            name or _NAMES[weight], label_index=label_index, from_logits=from_logits, dtype=dtype
        )
        self.weight = weight
        self.spill_rows = spill_rows
        self._rows = GroupedRows(spill_rows)
        self._broken = False
        self._cached = None
        self._last = float("nan")

    def update_state(
        self,
        y_true: tf.Tensor,
        y_pred: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
        groups: tf.Tensor | None = None,
    ) -> None:
        if groups is None:
            raise ValueError(
                f"`groups` must be given to `{self.name}`: which group each row belongs to. The "
                "models of this package pass the feature `group`; with another model, call "
                "`update_state(y_true, y_pred, groups=...)`. Received: groups=None"
            )
        scores = tf.cast(self.take_label(y_pred, "y_pred"), tf.float32)
        labels = tf.cast(self.take_label(y_true, "y_true"), tf.float32)
        weights = self.take_weight(sample_weight, labels)
        groups = tf.reshape(tf.cast(groups, tf.int64), [-1])
        if tf.executing_eagerly():
            self._append(groups.numpy(), scores.numpy(), labels.numpy(), weights.numpy())
        else:
            tf.numpy_function(self._append, [groups, scores, labels, weights], [])

    def _append(self, groups, scores, labels, weights):
        if len(groups) != len(scores):
            raise ValueError(
                f"`groups` must have one entry for each of {len(scores)} rows. "
                f"Received: len(groups)={len(groups)}"
            )
        if np.isnan(scores).any():
            self._broken = True
        self._rows.append(groups, scores, labels, weights)
        self._cached = None

    def result(self) -> tf.Tensor:
        if tf.executing_eagerly():
            return tf.constant(self.compute()["value"], self.dtype)
        last = tf.numpy_function(lambda: np.float64(self._last), [], tf.float64)
        return tf.cast(tf.ensure_shape(last, []), self.dtype)

    def compute(self) -> dict[str, Any]:
        """Returns the value of the metric with its counts.

        Returns:
            Dictionary: `value` (float), `groups` (number of groups), `skipped` (number of groups
            with only one class), `skipped_share` (their share of groups, NaN without groups),
            `rows` (number of rows with a group), `ungrouped` (number of rows without), and
            `by_weight` (the value with each of the three weights).
        """
        if self._cached is None:
            self._cached = self._compute()
            self._last = self._cached["value"]
        return dict(self._cached)

    def _compute(self):
        totals, weights = np.zeros(len(_NAMES)), np.zeros(len(_NAMES))
        groups = skipped = 0
        for rows in self._rows.parts():
            aucs, impressions, clicks = group_aucs(rows)
            valid = ~np.isnan(aucs)
            per_group = np.stack([impressions, np.ones_like(impressions), clicks])[:, valid]
            totals += per_group @ aucs[valid]
            weights += per_group.sum(axis=1)
            groups += len(aucs)
            skipped += int(len(aucs) - valid.sum())
        broken = self._broken or not weights.all()
        values = np.full(len(_NAMES), np.nan) if broken else totals / weights
        by_weight = dict(zip(_NAMES, values.tolist(), strict=True))
        return {
            "value": by_weight[self.weight],
            "groups": groups,
            "skipped": skipped,
            "skipped_share": skipped / groups if groups else float("nan"),
            "rows": self._rows.num_rows,
            "ungrouped": self._rows.num_ungrouped,
            "by_weight": by_weight,
        }

    def reset_state(self) -> None:
        """Drops all rows; the last value is kept for `result()` inside graphs."""
        self._rows.clear()
        self._broken = False
        self._cached = None

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["weight"] = self.weight
        config["spill_rows"] = self.spill_rows
        return config
