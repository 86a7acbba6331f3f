"""GRUs with attention in the update gate."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_choice, check_positive_integer
from lmn_tf.layers.history_layer import HistoryLayer, events_of
from lmn_tf.ops.sequence.gated_recurrence import gated_recurrence
from lmn_tf.ops.sequence.valid_positions import StepOrder, ValidPositions

VARIANTS = ("augru", "released", "agru", "aigru")


@keras.saving.register_keras_serializable(package="lmn_tf")
class AttentionalGRU(HistoryLayer):
    """Runs a GRU over a history, with an attention weight for each step.

    With the update gate `u_t`, the candidate state `c_t` and the weight `a_t` of a
    step, the next state is:

    - `"augru"`, the published form: `s + a_t * u_t * (c_t - s)`. A step of weight
      0 is skipped, and a step of weight 1 is that of a plain GRU.
    - `"released"`, the code published with it: `s + (1 - (1 - a_t) * (1 - u_t)) *
      (c_t - s)`. A step of weight 0 is that of a plain GRU, and a step of weight 1
      overwrites the state.
    - `"agru"`: `s + a_t * (c_t - s)`. The weights of the update gate are unused.
    - `"aigru"`: a plain GRU on the input `a_t * x_t`.

    Without `weights` all are 1: `"augru"` and `"aigru"` then equal
    `keras.layers.GRU` and can load its weights. (The released cell applies the
    reset gate before the recurrent product, not after it.) The initial state is 0.
    Masked steps leave the state unchanged, at any position, and cost nothing; a
    row without valid steps gives exactly 0. In returned sequences, masked steps
    are 0.

    The state is kept in the dtype of the variables, since it accumulates over long
    histories.

    Args:
        units: Integer. Width of the state, or `None` for the width of the history.
            Defaults to `None`.
        variant: `"augru"`, `"released"`, `"agru"` or `"aigru"`. Defaults to
            `"augru"`.
        return_sequences: Boolean. Whether to return the states after all steps
            instead of the last one. Defaults to `False`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        history: Float tensor of shape `(batch, length, d)`; with `windows`
            `(events, d)`.
        weights: Optional float tensor of shape `(batch, length)`; with `windows`
            `(pairs,)`. Defaults to ones.
        mask: Optional boolean tensor of shape `(batch, length)`, true where
            valid. Defaults to the Keras mask of `history`.
        windows: Optional `Windows` of the rows into the events.

    Returns:
        Float tensor of shape `(batch, units)`; with `return_sequences` `(batch,
        length, units)`, or `(pairs, units)` where `windows` are given.

    Raises:
        ValueError: If `units` is not a positive integer or `variant` unknown.

    Example:

    >>> layer = AttentionalGRU(3)
    >>> layer(np.ones((2, 5, 4)), weights=np.full((2, 5), 0.2)).shape
    TensorShape([2, 3])

    Reference:
        - Zhou et al., "Deep Interest Evolution Network for Click-Through Rate
          Prediction", AAAI 2019, section 4.3.
    """

    def __init__(
        self,
        units: int | None = None,
        variant: str = "augru",
        return_sequences: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if units is not None:
            check_positive_integer("units", units)
        check_choice("variant", variant, VARIANTS)
        self.units = units
        self.variant = variant
        self.return_sequences = return_sequences

    def build(self, history_shape: tuple[int | None, ...]) -> None:
        units = self._width(history_shape)
        self.kernel = self.add_weight(
            shape=(history_shape[-1], 3 * units), initializer="glorot_uniform", name="kernel"
        )
        self.recurrent_kernel = self.add_weight(
            shape=(units, 3 * units),
            initializer="orthogonal",
            autocast=False,
            name="recurrent_kernel",
        )
        self.bias = self.add_weight(
            shape=(2, 3 * units), initializer="zeros", autocast=False, name="bias"
        )

    def call(
        self,
        history: tf.Tensor,
        weights: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
        windows: ValidPositions | None = None,
    ) -> tf.Tensor:
        events, positions = events_of(history, mask, windows)
        order = StepOrder(positions)
        bias = tf.convert_to_tensor(self.bias)
        steps = order.take(positions.pairs(events))  # (N, d), ordered by step
        inputs = tf.cast(tf.matmul(steps, self.kernel), bias.dtype)  # (N, 3 * units)
        attention = valid = tf.ones([tf.shape(inputs)[0], 1], bias.dtype)  # (N, 1)
        if positions.valid is not None:
            attention = valid = order.take(tf.cast(positions.valid[:, None], bias.dtype))
        if weights is not None:
            weights = tf.convert_to_tensor(weights)[..., None]
            weights = positions.take(weights) if windows is None else weights
            attention = tf.cast(order.take(weights), bias.dtype)
        if self.variant == "aigru":
            inputs *= attention
        base, scale = self._update(attention[:, 0], valid[:, 0])
        states = gated_recurrence(
            inputs + bias[0], self.recurrent_kernel, bias[1], base, scale, order.rows
        )  # (N, units)
        if self.return_sequences:
            states = order.put(states)
            states = positions.put(states) if windows is None else states
            return tf.cast(states, self.compute_dtype)
        return tf.cast(order.last(states), self.compute_dtype)

    def _update(self, attention, valid):
        """Returns `(base, scale)`: the candidate has weight `base + scale * update gate`."""
        if self.variant == "augru":
            return tf.zeros_like(attention), attention
        if self.variant == "released":
            return attention, valid - attention
        if self.variant == "agru":
            return attention, tf.zeros_like(attention)
        return tf.zeros_like(valid), valid

    def compute_mask(self, inputs: tf.Tensor, previous_mask: Any) -> Any:
        return previous_mask if self.return_sequences else None

    def compute_output_shape(self, history_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        width = self._width(history_shape)
        if self.return_sequences:
            return (*history_shape[:2], width)
        return (history_shape[0], width)

    def _width(self, history_shape):
        return history_shape[-1] if self.units is None else self.units

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "variant": self.variant,
            "return_sequences": self.return_sequences,
        }
