"""A sparse mixture of experts as the feed-forward layer of tokens."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.collectives import mean_over_replicas, sum_over_replicas
from lmn_tf.layers.base import (
    TOKENS,
    RunningMean,
    add_balance_loss,
    add_replicated_loss,
    check_axes,
    check_choice,
    check_not_negative,
    check_positive_integer,
    stacked_glorot,
)
from lmn_tf.ops.search.key_balance import key_balance
from lmn_tf.ops.sequence.masked import masked_softmax, row_mean

_RATE = 1.2  # factor by which the weight of the sparsity loss changes at each step
_SMALLEST, _LARGEST = 1e-8, 1.0
_REVIVAL = 1e-3  # weight of the loss that opens closed gates while too few are open


@keras.saving.register_keras_serializable(package="lmn_tf")
class SparseMixtureOfExperts(keras.layers.Layer):
    """A mixture of experts for each token, with gates that are mostly 0.

    Token `t` becomes `sum_j G_j * activation(x_t @ W1[t, j] + b1[t, j]) @ W2[t, j] + b2[t]` over
    its own `num_experts` experts, with gates from a router `x_t @ R[t] + r[t]`:

    - `"relu"`: `G = ReLU(router)`. In training the layer adds the loss
      `weight[t] * mean(sum_j G_j)`, averaged over tokens. The weights start at 1e-8 and adapt: if
      more than `active_experts` gates of token `t` are open at a step, averaged over rows, its
      weight is multiplied by 1.2, and otherwise divided by 1.2, within 1e-8 and 1. While fewer are
      open, the loss `1e-3 * mean(sum_j ReLU(-router_j))` opens closed gates: ReLU gives no gradient
      to a router that has closed all of them. The number of open gates may differ between rows.
    - `"softmax"`: softmax over the `active_experts` best, 0 for the others. In training the layer
      adds `balance_weight` times the load-balance loss; see `ops.key_balance`.

    Cost: the hidden width of an expert is `expansion * D / active_experts`. The experts that one
    token uses have as many weights, and take as many multiply-adds, as `PerTokenMLP(expansion)`:
    `2 * expansion * D ** 2`. The router adds `D * num_experts` and a bias. This holds for kernels
    that skip closed gates; this layer computes all experts, `num_experts / active_experts` times
    as much, and multiplies by the gates.

    RankMixer trains two routers, a dense one for training and a sparse one for inference, with the
    loss on the latter. Here a single router does both (our choice), so that training and serving
    compute the same.

    The router is computed in float32 under any precision. Our choices are its bias (without it,
    inputs of either sign would keep half of the gates open), one weight per token, the rate and
    bounds of the weights, the loss that opens gates, the width of the experts, and one output bias
    for all experts.

    Args:
        num_experts: Integer. Number of experts of each token. Defaults to `16`.
        active_experts: Integer. Target number of experts that a token uses. Defaults to `4`.
        expansion: Integer. Total hidden width of the active experts, as a multiple of the token's
            width. Defaults to `4`.
        activation: Any Keras activation. Defaults to `"gelu"`.
        routing: `"relu"` or `"softmax"`. Defaults to `"relu"`.
        balance_weight: Float. Weight of the load-balance loss of `"softmax"`. Defaults to `0.01`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(batch, tokens, D)`; the number of tokens must be known.
        training: Boolean. Whether to add the loss and adapt its weight.

    Returns:
        Float tensor of the same shape.

    Raises:
        ValueError: If an argument is out of its range, or `active_experts` does not divide the
            hidden width.

    Example:

    >>> SparseMixtureOfExperts(num_experts=6, active_experts=2)(np.ones((2, 3, 8))).shape
    TensorShape([2, 3, 8])

    Reference:
        - Zhu et al., "RankMixer: Scaling Up Ranking Models in Industrial Recommenders", CIKM 2025,
          section 3.5 (ReLU routing); Wang et al., "ReMoE: Fully Differentiable Mixture-of-Experts
          with ReLU Routing", ICLR 2025 (adapted weight).
    """

    def __init__(
        self,
        num_experts: int = 16,
        active_experts: int = 4,
        expansion: int = 4,
        activation: str | Callable = "gelu",
        routing: str = "relu",
        balance_weight: float = 0.01,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (
            ("num_experts", num_experts),
            ("active_experts", active_experts),
            ("expansion", expansion),
        ):
            check_positive_integer(name, value)
        if active_experts > num_experts:
            raise ValueError(
                "`active_experts` must be at most `num_experts`. "
                f"Received: active_experts={active_experts}, num_experts={num_experts}"
            )
        check_choice("routing", routing, ("relu", "softmax"))
        check_not_negative("balance_weight", balance_weight)
        self.num_experts = num_experts
        self.active_experts = active_experts
        self.expansion = expansion
        self.activation = keras.activations.get(activation)
        self.routing = routing
        self.balance_weight = balance_weight
        self.active_tracker = RunningMean(name=f"{self.name}_active")

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        check_axes("inputs", inputs_shape, TOKENS)
        tokens, width = inputs_shape[1:]
        if self.expansion * width % self.active_experts:
            raise ValueError(
                "`active_experts` must divide the hidden width, `expansion` times that of the "
                f"tokens. Received: active_experts={self.active_experts}, "
                f"hidden width={self.expansion * width}"
            )
        expert = self.expansion * width // self.active_experts
        hidden = self.num_experts * expert
        self.router = self.add_weight(
            shape=(tokens, width, self.num_experts),
            initializer=stacked_glorot(width, self.num_experts),
            name="router",
            autocast=False,
        )
        self.router_bias = self.add_weight(
            shape=(tokens, self.num_experts),
            initializer="zeros",
            name="router_bias",
            autocast=False,
        )
        # The kernels of all experts side by side, for a single product.
        self.kernel_0, self.kernel_1 = (
            self.add_weight(shape=(tokens, *shape), initializer=initializer, name=name)
            for shape, initializer, name in (
                ((width, hidden), stacked_glorot(width, expert), "kernel_0"),
                ((hidden, width), stacked_glorot(expert, width), "kernel_1"),
            )
        )
        self.bias_0, self.bias_1 = (
            self.add_weight(shape=(tokens, units), initializer="zeros", name=name)
            for units, name in ((hidden, "bias_0"), (width, "bias_1"))
        )
        self.sparsity_weight = None
        if self.routing == "relu":
            self.sparsity_weight = self.add_weight(
                shape=(tokens,),
                initializer=keras.initializers.Constant(_SMALLEST),
                name="sparsity_weight",
                trainable=False,
                autocast=False,
                aggregation="mean",
            )

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        gates = self.gates(inputs, training)  # (batch, tokens, experts)
        hidden = tf.einsum("btd,tdk->btk", inputs, self.kernel_0) + self.bias_0
        hidden = self.activation(hidden)  # (batch, tokens, hidden width)
        tokens, width = hidden.shape[1:]
        split = [-1, tokens, self.num_experts, width // self.num_experts]
        gated = tf.reshape(hidden, split) * tf.cast(gates, hidden.dtype)[..., None]
        gated = tf.reshape(gated, [-1, tokens, width])  # (batch, tokens, hidden width)
        return tf.einsum("btk,tkd->btd", gated, self.kernel_1) + self.bias_1

    def gates(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Computes the weight of each expert for each token.

        Args:
            inputs: Float tensor of shape `(batch, tokens, D)`.
            training: Boolean. Whether to add the loss and adapt its weight.

        Returns:
            Float32 tensor of shape `(batch, tokens, num_experts)`, mostly 0.
        """
        router, bias = (tf.cast(one, tf.float32) for one in (self.router, self.router_bias))
        scores = tf.einsum("btd,tde->bte", tf.cast(inputs, tf.float32), router)
        scores += bias  # (batch, tokens, experts)
        if self.routing == "softmax":
            best = tf.math.top_k(scores, self.active_experts).indices
            chosen = tf.reduce_any(tf.one_hot(best, self.num_experts, True, False), axis=-2)
            gates = masked_softmax(scores, chosen)
            if training and self.balance_weight:
                add_balance_loss(
                    self, self.balance_weight * key_balance(scores, best, total=sum_over_replicas)
                )
        else:
            gates = tf.nn.relu(scores)
            if training:
                self._add_sparsity_loss(scores)
        if training:
            self.active_tracker.update_state(_active(gates))
        return gates

    def _add_sparsity_loss(self, scores):
        weight = tf.cast(self.sparsity_weight, tf.float32)
        rows = tf.cast(tf.shape(scores)[0], tf.float32)
        active = mean_over_replicas(rows, _active(scores))
        opened, closed = (_gate_mean(tf.nn.relu(part)) for part in (scores, -scores))  # (tokens,)
        revival = tf.where(active < self.active_experts, _REVIVAL * closed, 0.0)
        add_replicated_loss(self, tf.reduce_mean(weight * opened + revival), count=rows)
        if not self.trainable:
            return
        is_above = active > self.active_experts
        adapted = tf.clip_by_value(
            weight * tf.where(is_above, _RATE, 1.0 / _RATE), _SMALLEST, _LARGEST
        )
        self.sparsity_weight.assign(tf.where(sum_over_replicas(rows) > 0, adapted, weight))

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(inputs_shape)

    def get_config(self) -> dict[str, Any]:
        names = ("num_experts", "active_experts", "expansion", "routing", "balance_weight")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "activation": keras.activations.serialize(self.activation),
        }


def _active(gates):
    """Number of open gates of each token, averaged over rows, `(tokens,)`."""
    return _gate_mean(tf.cast(gates > 0, tf.float32))


def _gate_mean(gates):
    return row_mean(tf.reduce_sum(gates, axis=-1))
