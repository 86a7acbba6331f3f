"""The interest evolution of DIEN as one layer."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.attention.bilinear_attention import BilinearAttention
from lmn_tf.layers.attention.target_attention import TargetAttention
from lmn_tf.layers.base import check_axes, check_choice, check_hidden_units, check_not_negative
from lmn_tf.layers.evolution.attentional_gru import AttentionalGRU
from lmn_tf.layers.evolution.next_behavior_loss import NextBehaviorLoss
from lmn_tf.layers.history_layer import HistoryLayer, mask_of
from lmn_tf.ops.sequence.chains import Chains
from lmn_tf.ops.sequence.valid_positions import ValidPositions


@keras.saving.register_keras_serializable(package="lmn_tf")
class InterestEvolution(HistoryLayer):
    """Models how the interest in the candidate evolves over a history.

    A GRU turns behaviors `e_t` into interests `h_t`, which an auxiliary loss
    trains to predict the next behavior. Attention weights them by
    `a_t = softmax_t(score(h_t, v))`. A second GRU, whose steps are weighted by
    `a_t`, evolves the interest; the layer returns its state after the last valid
    step. Padding gets no weight and leaves the states unchanged. An empty history
    gives exactly 0. Both GRUs are as wide as the behaviors.

    Args:
        variant: Form of the second GRU: `"augru"`, `"released"`, `"agru"` or
            `"aigru"`; see `AttentionalGRU`. Defaults to `"augru"`.
        attention: `"bilinear"`, the paper's `h_t W v`, or `"mlp"`, the attention
            of DIN. Defaults to `"bilinear"`.
        attention_units: Tuple of integers. Hidden layers of `"mlp"`. Defaults to
            `(80, 40)`.
        attention_activation: Activation of `"mlp"`. Defaults to `"sigmoid"`.
        auxiliary_units: Tuple of integers. Hidden layers of the auxiliary network,
            `()` for an inner product. Defaults to `(100, 50)`.
        auxiliary_weight: Float. Weight of the auxiliary loss; 0 turns it off.
            Defaults to `1.0`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        history: Float tensor of shape `(batch, length, d)`; with `windows`
            `(events, d)`.
        target: Float tensor of shape `(batch, d)`.
        mask: Optional boolean tensor of shape `(batch, length)`, true where
            valid. Defaults to the Keras mask of `history`.
        training: Boolean. Whether to add the auxiliary loss.
        windows: Optional `Windows` of the rows into the events. Rows whose windows
            begin with the same event share their interests, exactly. In the
            auxiliary loss each step counts as often as rows see it, with one
            negative for all of them.

    Returns:
        Float tensor of shape `(batch, d)`.

    Raises:
        ValueError: If an argument is invalid, or `auxiliary_weight` is negative.

    Example:

    >>> InterestEvolution()(np.ones((2, 5, 8)), np.ones((2, 8))).shape
    TensorShape([2, 8])

    Reference:
        - Zhou et al., "Deep Interest Evolution Network for Click-Through Rate
          Prediction", AAAI 2019, sections 4.2-4.3.
    """

    def __init__(
        self,
        variant: str = "augru",
        attention: str = "bilinear",
        attention_units: Sequence[int] = (80, 40),
        attention_activation: str | Callable = "sigmoid",
        auxiliary_units: Sequence[int] = (100, 50),
        auxiliary_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("attention", attention, ("bilinear", "mlp"))
        check_not_negative("auxiliary_weight", auxiliary_weight)
        self.attention = attention
        self.attention_units = check_hidden_units("attention_units", attention_units)
        self.attention_activation = attention_activation
        self.auxiliary_units = check_hidden_units("auxiliary_units", auxiliary_units)
        self.auxiliary_weight = auxiliary_weight
        if attention == "bilinear":
            self.attention_layer = BilinearAttention(name="attention", dtype=self.dtype_policy)
        else:
            self.attention_layer = TargetAttention(
                self.attention_units,
                activation=attention_activation,
                name="attention",
                dtype=self.dtype_policy,
            )
        self.auxiliary_loss = None
        if auxiliary_weight:
            self.auxiliary_loss = NextBehaviorLoss(
                self.auxiliary_units,
                weight=auxiliary_weight,
                name="auxiliary_loss",
                dtype=self.dtype_policy,
            )
        self.extractor = AttentionalGRU(
            return_sequences=True, name="extractor", dtype=self.dtype_policy
        )
        self.evolution = AttentionalGRU(variant=variant, name="evolution", dtype=self.dtype_policy)
        self.variant = variant

    def build(
        self, history_shape: tuple[int | None, ...], target_shape: tuple[int | None, ...]
    ) -> None:
        self.extractor.build(history_shape)
        self.attention_layer.build(history_shape, target_shape)
        self.evolution.build(history_shape)
        if self.auxiliary_loss is not None:
            self.auxiliary_loss.build(history_shape, history_shape)

    def call(
        self,
        history: tf.Tensor,
        target: tf.Tensor,
        mask: tf.Tensor | None = None,
        training: bool | None = None,
        windows: ValidPositions | None = None,
    ) -> tf.Tensor:
        if windows is not None:
            return self._evolved(history, target, training, Chains(windows))
        check_axes("history", history.shape)
        mask = mask_of(history, mask)
        interests = self.extractor(history, mask=mask)  # (batch, length, d)
        if self.auxiliary_loss is not None:
            interests = self.auxiliary_loss(interests, history, mask=mask, training=training)
        weights = self.attention_layer.attention_weights(
            interests, tf.cast(target, interests.dtype), mask=mask, training=training
        )  # (batch, length)
        return self.evolution(interests, weights=weights, mask=mask)

    def _evolved(self, events, target, training, chains):
        """Extracts interests once for the rows that share them, and evolves them for each row."""
        interests = self.extractor(events, windows=chains.windows)  # (steps of all chains, d)
        if self.auxiliary_loss is not None and training:
            states, history = chains.windows.put(interests), chains.padded(events)
            self.auxiliary_loss(
                states, history, mask=chains.mask, training=training, counts=chains.counts
            )
        # Whatever sees the candidate is of a row.
        interests, positions = chains.rows.pairs(interests), chains.rows.of_pairs
        weights = self.attention_layer.attention_weights(
            interests, tf.cast(target, interests.dtype), training=training, windows=positions
        )  # (pairs,)
        return self.evolution(interests, weights=weights, windows=positions)

    def compute_output_shape(
        self, history_shape: tuple[int | None, ...], target_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (history_shape[0], history_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "variant": self.variant,
            "attention": self.attention,
            "attention_units": list(self.attention_units),
            "attention_activation": self.attention_activation,
            "auxiliary_units": list(self.auxiliary_units),
            "auxiliary_weight": self.auxiliary_weight,
        }
