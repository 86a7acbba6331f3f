"""Entropy of attention weights over histories."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.uncast_variable import uncast_variable
from lmn_tf.ops.sequence.masked import zero_padding


@keras.saving.register_keras_serializable(package="lmn_tf")
class AttentionEntropy(keras.metrics.Metric):
    """Entropy of the weights of each walk over the histories, averaged over rows.

    With `p = a / sum(a)` over the valid positions of a row, a walk's entropy is
    `-sum(p * log(p))` in nats: 0 if one behavior has all the weight, `log(n)` if `n` behaviors
    have equal weights. Padding is ignored, as are rows whose weights are all 0: those without a
    history.

    Args:
        num_walks: Integer. Number of weights of each position.
        prefix: String before the names of the results. Defaults to `""`.
        name: String. Defaults to `"attention_entropy"`.
        dtype: Type of the results. Defaults to `None`.

    Call arguments:
        weights: Non-negative float tensor of shape `(num_walks, batch, length)`, or a list of one
            tensor per walk.
        mask: Optional boolean tensor of shape `(batch, length)`, true where valid.

    Returns:
        Dictionary of scalars: `{prefix}{name}_1` to `{prefix}{name}_{num_walks}`. NaN before the
        first history.

    Raises:
        ValueError: If `num_walks` is not a positive integer.

    Example:

    >>> metric = AttentionEntropy(1)
    >>> metric.update_state([[[0.5, 0.5, 7.0]]], mask=[[True, True, False]])
    >>> round(float(metric.result()["attention_entropy_1"]), 4)
    0.6931

    Reference:
        - "Iterative Memory Network for Long Sequential User Behavior Modeling in Recommender
          Systems", section 5.8.
    """

    def __init__(
        self,
        num_walks: int,
        prefix: str = "",
        name: str = "attention_entropy",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if isinstance(num_walks, bool) or not isinstance(num_walks, int) or num_walks < 1:
            raise ValueError(
                f"`num_walks` must be a positive integer. Received: num_walks={num_walks!r}"
            )
        self.num_walks = num_walks
        self.prefix = prefix
        self.total = uncast_variable((num_walks,), "total")
        self.rows = uncast_variable((num_walks,), "rows")

    def update_state(
        self, weights: tf.Tensor | list[tf.Tensor], mask: tf.Tensor | None = None
    ) -> None:
        entropy, has_weight = attention_entropies(weights, mask)  # (num_walks, batch)
        self.total.assign_add(tf.reduce_sum(tf.cast(entropy, tf.float64), axis=1))
        self.rows.assign_add(tf.reduce_sum(tf.cast(has_weight, tf.float64), axis=1))

    def result(self) -> dict[str, tf.Tensor]:
        total, rows = tf.convert_to_tensor(self.total), tf.convert_to_tensor(self.rows)
        mean = tf.cast(total / rows, self.dtype)
        return {
            f"{self.prefix}{self.name}_{walk + 1}": value
            for walk, value in enumerate(tf.unstack(mean))
        }

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_walks": self.num_walks, "prefix": self.prefix}


def attention_entropies(
    weights: tf.Tensor | list[tf.Tensor], mask: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes the entropy of the weights of each walk over each history, in nats.

    Args:
        weights: Non-negative float tensor of shape `(num_walks, batch, length)`, or a list of one
            tensor per walk.
        mask: Optional boolean tensor of shape `(batch, length)`, true where valid.

    Returns:
        Tuple `(entropy, has_weight)` of shape `(num_walks, batch)` each. Where all weights are 0,
        the entropy is 0 and `has_weight` false.

    Example:

    >>> entropy, _ = attention_entropies([[[0.5, 0.5, 7.0]]], mask=[[True, True, False]])
    >>> round(float(entropy[0, 0]), 4)
    0.6931
    """
    weights = tf.cast(tf.convert_to_tensor(weights), tf.float32)
    if mask is not None:  # not a product: the weights of padding may be NaN
        weights = zero_padding(weights[..., None], mask)[..., 0]
    total = tf.reduce_sum(weights, axis=-1)  # (num_walks, batch)
    has_weight = total > 0
    total = tf.where(has_weight, total, 1.0)
    share = weights / total[..., None]  # (num_walks, batch, length)
    entropy = -tf.reduce_sum(tf.math.xlogy(share, share), axis=-1)
    return tf.where(has_weight, entropy, 0.0), has_weight
