"""The learned (soft) search of SIM."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_axes, check_positive_integer
from lmn_tf.layers.core.mlp import MLP
from lmn_tf.layers.history_layer import HistoryLayer, mask_of
from lmn_tf.ops.sequence.masked import zero_padding


@keras.saving.register_keras_serializable(package="lmn_tf")
class BehaviorSearch(HistoryLayer):
    """Scores the relevance of events to the candidate, learned from the labels.

    Computes `r_j = (Wb e_j) · (Wa v)` and, from the events weighted by their scores, an
    auxiliary prediction `MLP([sum_j r_j e_j; v])`. The scores are returned without
    gradient, so the projections learn from the loss of this prediction alone. Padded
    positions score 0 and do not enter the sum.

    The same scores are `e_j · (Wbᵀ Wa v)`, so events are never projected. Scores are
    float32 under any precision.

    Args:
        units: Integer. Width of the projections. Defaults to `64`.
        hidden_units: Tuple of integers. Hidden layers of the auxiliary MLP. Defaults
            to `(200, 80)`.
        activation: Activation of those layers. Defaults to `"relu"`.
        output_units: Integer. Number of logits of the auxiliary prediction. Defaults
            to `1`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        history: Float tensor of shape `(batch, length, d)`.
        target: Float tensor of shape `(batch, dt)`.
        mask: Optional boolean tensor of shape `(batch, length)`, true where
            valid. Defaults to the Keras mask of `history`.
        return_scores: Boolean. Whether to return the scores as well. Defaults to
            `False`.

    Returns:
        Float tensor of shape `(batch, output_units)`. With `return_scores`, a tuple of
        this tensor and the scores, a float32 tensor of shape `(batch, length)` without
        gradient.

    Raises:
        ValueError: If a width is not a positive integer.

    Example:

    >>> layer = BehaviorSearch(units=4, hidden_units=(8,))
    >>> logits, scores = layer(np.ones((2, 5, 3)), np.ones((2, 3)), return_scores=True)
    >>> logits.shape, scores.shape
    (TensorShape([2, 1]), TensorShape([2, 5]))

    Reference:
        - Pi et al., "Search-based User Interest Modeling with Lifelong Sequential
          Behavior Data for Click-Through Rate Prediction", CIKM 2020, section 3.2.
    """

    def __init__(
        self,
        units: int = 64,
        hidden_units: Sequence[int] = (200, 80),
        activation: str | Callable = "relu",
        output_units: int | None = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integer("units", units)
        check_positive_integer("output_units", output_units)
        self.units = units
        self.mlp = MLP(
            hidden_units,
            activation=activation,
            output_units=output_units,
            dtype=self.dtype_policy,
            name="mlp",
        )

    def build(
        self, history_shape: tuple[int | None, ...], target_shape: tuple[int | None, ...]
    ) -> None:
        check_axes("history", history_shape)
        self.event_kernel = self._kernel(history_shape[-1], "event_kernel")
        self.target_kernel = self._kernel(target_shape[-1], "target_kernel")
        self.mlp.build((None, history_shape[-1] + target_shape[-1]))

    def _kernel(self, width, name):
        return self.add_weight(
            (width, self.units), initializer="glorot_uniform", name=name, autocast=False
        )

    def call(
        self,
        history: tf.Tensor,
        target: tf.Tensor,
        mask: tf.Tensor | None = None,
        return_scores: bool = False,
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        mask = mask_of(history, mask)
        history = zero_padding(tf.convert_to_tensor(history), mask)
        history, target = (tf.cast(one, self.variable_dtype) for one in (history, target))
        query = tf.matmul(target, tf.convert_to_tensor(self.target_kernel))  # (B, units)
        query = tf.matmul(query, tf.convert_to_tensor(self.event_kernel), transpose_b=True)
        scores = tf.matmul(history, query[..., None])[..., 0]  # (B, L)
        pooled = tf.matmul(scores[:, None, :], history)[:, 0]  # (B, d)
        logits = self.mlp(tf.concat([pooled, target], axis=-1))
        return (logits, tf.stop_gradient(scores)) if return_scores else logits

    def get_config(self) -> dict[str, Any]:
        config = self.mlp.get_config()
        names = ("hidden_units", "activation", "output_units")
        return {
            **super().get_config(),
            "units": self.units,
            **{name: config[name] for name in names},
        }
