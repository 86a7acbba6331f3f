"""The attention unit of DIN."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_choice, check_hidden_units
from lmn_tf.layers.core.activations import activation_config, get_activation, make_activation
from lmn_tf.layers.core.dice import Dice
from lmn_tf.layers.history_layer import HistoryLayer, events_of
from lmn_tf.ops.sequence.valid_positions import ValidPositions


@keras.saving.register_keras_serializable(package="lmn_tf")
class TargetAttention(HistoryLayer):
    """Pools a history with weights that depend on the candidate.

    Scores behavior `e` against target `v` with an MLP of `[v; e; v - e; v * e]`
    and returns the weighted sum of the behaviors. Padded positions get weight
    exactly 0, and an empty history gives exactly 0. The concatenation of width
    `4 * d` is never built: with the first kernel split into four, the same sum
    is `(Wv + Wd) v + (We - Wd) e + Wp (v * e)`, whose first term is computed
    once per row.

    The paper does not normalize the weights; the code published with it uses
    softmax. `weight_normalization` selects either.

    Args:
        hidden_units: Tuple of integers. Widths of the hidden layers. Defaults to
            `(80, 40)`.
        activation: Activation of the hidden layers: `"dice"`, `"prelu"` or any
            Keras activation. Defaults to `"sigmoid"`.
        weight_normalization: `"softmax"` or `"raw"`. Defaults to `"softmax"`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        history: Float tensor of shape `(batch, length, d)`.
        target: Float tensor of shape `(batch, d)`.
        mask: Optional boolean tensor of shape `(batch, length)`, true where
            valid. Defaults to the Keras mask of `history`.
        training: Boolean. Whether Dice uses the statistics of the batch.

    Returns:
        Float tensor of shape `(batch, d)`.

    Raises:
        ValueError: If an argument is invalid, or the widths of history and
            target differ.

    Example:

    >>> TargetAttention()(np.ones((2, 5, 8)), np.ones((2, 8))).shape
    TensorShape([2, 8])

    Reference:
        - Zhou et al., "Deep Interest Network for Click-Through Rate
          Prediction", KDD 2018, section 4.3.
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = (80, 40),
        activation: str | Callable = "sigmoid",
        weight_normalization: str = "softmax",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_units = check_hidden_units("hidden_units", hidden_units)
        if not self.hidden_units:
            raise ValueError("`hidden_units` must not be empty. Received: hidden_units=()")
        check_choice("weight_normalization", weight_normalization, ("softmax", "raw"))
        self.activation = get_activation(activation)
        self.weight_normalization = weight_normalization

    def build(
        self, history_shape: tuple[int | None, ...], target_shape: tuple[int | None, ...]
    ) -> None:
        width = history_shape[-1]
        if target_shape[-1] != width:
            raise ValueError(
                "`target` must be as wide as `history`. "
                f"Received: target width={target_shape[-1]}, history width={width}"
            )
        self.kernel = self.add_weight(
            shape=(4 * width, self.hidden_units[0]), initializer="glorot_uniform", name="kernel"
        )
        self.bias = self.add_weight(shape=(self.hidden_units[0],), initializer="zeros", name="bias")
        self.dense_layers, self.activations = [], []
        for index, units in enumerate((*self.hidden_units[1:], 1)):
            width = self.hidden_units[index]
            activation = make_activation(self.activation, 2, f"activation_{index}")
            activation.dtype_policy = self.dtype_policy
            activation.build((None, width))
            self.activations.append(activation)
            dense = keras.layers.Dense(units, name=f"dense_{index}", dtype=self.dtype_policy)
            dense.build((None, width))
            self.dense_layers.append(dense)

    def call(
        self,
        history: tf.Tensor,
        target: tf.Tensor,
        mask: tf.Tensor | None = None,
        training: bool | None = None,
        windows: ValidPositions | None = None,
    ) -> tf.Tensor:
        events, positions = events_of(history, mask, windows)
        items = positions.pairs(events)  # (N, d): the valid pairs
        weights = self._weights(items, target, positions, training)  # (N,)
        return positions.row_sum(weights[:, None] * items)

    def attention_weights(
        self,
        history: tf.Tensor,
        target: tf.Tensor,
        mask: tf.Tensor | None = None,
        training: bool | None = None,
        windows: ValidPositions | None = None,
    ) -> tf.Tensor:
        """Weights of the behaviors, of shape `(batch, length)`; 0 at padding.

        With `windows` into a history of shape `(events, d)`, of shape `(pairs,)`.
        """
        events, positions = events_of(history, mask, windows)
        weights = self._weights(positions.pairs(events), target, positions, training)
        return positions.put(weights) if windows is None else weights

    def _weights(self, items, target, positions, training):
        """Weights of the items, `(N,)`."""
        x = self._first_layer(items, target, positions)
        for activation, dense in zip(self.activations, self.dense_layers, strict=True):
            if isinstance(activation, Dice):
                x = activation(x, mask=positions.valid, training=training)
            else:
                x = activation(x)
            x = dense(x)
        scores = tf.squeeze(x, axis=-1)  # (N,)
        return positions.row_softmax(scores) if self.weight_normalization == "softmax" else scores

    def _first_layer(self, items, target, positions):
        """`[v; e; v - e; v * e] @ kernel + bias` of the items, `(N, hidden_units[0])`."""
        for_target, for_item, for_difference, for_product = tf.split(
            tf.convert_to_tensor(self.kernel), 4, axis=0
        )
        kernel = tf.concat([for_item - for_difference, for_product], axis=0)
        target = tf.cast(target, items.dtype)
        constant = tf.matmul(target, for_target + for_difference) + self.bias  # (batch, units)
        pairs = tf.concat([items, items * positions.repeat(target)], axis=-1)  # (N, 2 * d)
        return tf.matmul(pairs, kernel) + positions.repeat(constant)

    def compute_output_shape(
        self, history_shape: tuple[int | None, ...], target_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (history_shape[0], history_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "hidden_units": list(self.hidden_units),
            "activation": activation_config(self.activation),
            "weight_normalization": self.weight_normalization,
        }
