"""The auxiliary loss of DIEN."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import (
    RunningMean,
    add_replicated_loss,
    check_hidden_units,
    check_positive_number,
)
from lmn_tf.layers.core.activations import activation_config, get_activation
from lmn_tf.layers.core.mlp import MLP
from lmn_tf.layers.history_layer import HistoryLayer, mask_of
from lmn_tf.ops.sequence.masked import zero_padding
from lmn_tf.ops.sequence.valid_positions import ValidPositions


@keras.saving.register_keras_serializable(package="lmn_tf")
class NextBehaviorLoss(HistoryLayer):
    """Adds a loss that trains each state to distinguish the next behavior from another user's.

    Returns the states unchanged. In training it adds the loss
    `weight * mean(softplus(-f(h_t, e_{t+1})) + softplus(f(h_t, e'_{t+1})))`, where
    `f` is an MLP of `[h; e]` (or `<h, e>` without hidden layers) and the mean is
    over all `t` with a valid behavior at `t` and at `t + 1`. A batch without any
    such pair gives a loss of 0.

    Negatives `e'` are drawn uniformly from the behaviors of the other rows of the
    batch (our choice). The draws of a row walk through these behaviors with a
    random start and a random stride, so that two random numbers per row suffice
    and padding changes nothing. A row has no pairs if no other row has behaviors.
    The draws come from a `keras.random.SeedGenerator`, whose state is saved with
    the weights. Outside of training nothing is drawn and no loss is added.

    During training the layer tracks a running mean that Keras logs:
    `auxiliary_loss` (without its weight).

    Args:
        hidden_units: Tuple of integers. Hidden layers of `f`; `()` for the inner
            product. Defaults to `(100, 50)`.
        activation: Activation of the hidden layers. Defaults to `"sigmoid"`.
        weight: Float that scales the loss. Defaults to `1.0`.
        seed: Integer seed of the draws, or `None` for one derived from Keras' global
            seed. Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        states: Float tensor of shape `(batch, length, units)`.
        history: Float tensor of shape `(batch, length, d)`: the behaviors.
        mask: Optional boolean tensor of shape `(batch, length)`, true where
            valid. Defaults to the Keras mask of `states`.
        training: Boolean. Whether to add the loss.
        counts: Optional float tensor of shape `(batch, length)`: how many rows share
            each step, where a row stands for several that begin alike. A step counts
            as often in the mean and among the negatives, which are drawn from those
            that share no step with the row. Defaults to 1.

    Returns:
        `states`.

    Raises:
        ValueError: If `weight` is not positive, or if `hidden_units` is `()` and the
            widths of states and behaviors differ.

    Example:

    >>> layer = NextBehaviorLoss((8,))
    >>> layer(np.ones((2, 5, 4)), np.ones((2, 5, 4)), training=True).shape
    TensorShape([2, 5, 4])
    >>> len(layer.losses)
    1

    Reference:
        - Zhou et al., "Deep Interest Evolution Network for Click-Through Rate
          Prediction", AAAI 2019, eqs. 6-7.
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = (100, 50),
        activation: str | Callable = "sigmoid",
        weight: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # `counts` would be rounded, in bfloat16 from 256 on. The other inputs are cast in `call`.
        self.autocast = False
        self.hidden_units = check_hidden_units("hidden_units", hidden_units)
        check_positive_number("weight", weight)
        self.activation = get_activation(activation)
        self.weight = weight
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.mlp = None
        if self.hidden_units:
            self.mlp = MLP(
                self.hidden_units, activation, output_units=1, dtype=self.dtype_policy, name="mlp"
            )
        self.loss_tracker = RunningMean(name="auxiliary_loss")

    def build(
        self, states_shape: tuple[int | None, ...], history_shape: tuple[int | None, ...]
    ) -> None:
        units, width = states_shape[-1], history_shape[-1]
        if self.mlp is not None:
            self.mlp.build((None, units + width))
        elif units != width:
            raise ValueError(
                "`history` must be as wide as `states` for an inner product. "
                f"Received: history width={width}, states width={units}"
            )

    def call(
        self,
        states: tf.Tensor,
        history: tf.Tensor,
        mask: tf.Tensor | None = None,
        training: bool | None = None,
        counts: tf.Tensor | None = None,
    ) -> tf.Tensor:
        mask = mask_of(states, mask)
        if training:
            loss, pairs = self._loss_and_pairs(states, history, mask, counts)
            add_replicated_loss(self, self.weight * loss, count=pairs)
            self.loss_tracker.update_state(loss)
        return tf.cast(states, self.compute_dtype)

    def loss(
        self,
        states: tf.Tensor,
        history: tf.Tensor,
        mask: tf.Tensor | None = None,
        counts: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Computes the loss without its weight; each call draws new negatives.

        Args:
            states: Float tensor of shape `(batch, length, units)`.
            history: Float tensor of shape `(batch, length, d)`.
            mask: Optional boolean tensor of shape `(batch, length)`. Defaults to `None`.
            counts: Optional float tensor of shape `(batch, length)`. Defaults to `None`.

        Returns:
            Float32 scalar.
        """
        return self._loss_and_pairs(states, history, mask, counts)[0]

    def _loss_and_pairs(self, states, history, mask, counts):
        """Returns the loss, and the number of pairs that it is a mean of."""
        if mask is None:
            mask = tf.ones(tf.shape(history)[:2], bool)
        mask = tf.cast(mask, bool)
        history = zero_padding(tf.cast(history, self.compute_dtype), mask)
        negatives, is_drawn = self._draw(mask, counts)
        pairs = ValidPositions(mask[:, 1:] & mask[:, :-1] & is_drawn[:, None], states[:, 1:])
        state = pairs.take(tf.cast(states, self.compute_dtype)[:, :-1])  # (pairs, units)
        flat = tf.reshape(history, [-1, history.shape[-1]])  # (batch * length, d)
        negative = tf.gather(flat, pairs.take(negatives[:, 1:, None])[:, 0])  # (pairs, d)
        positive = pairs.take(history[:, 1:])  # (pairs, d)
        weights = pairs.valid
        if counts is not None:
            counted = tf.cast(counts, tf.float32)[:, 1:, None]
            weights = pairs.take(zero_padding(counted, pairs.mask))[:, 0]
        positive_loss = tf.nn.softplus(-self._logits(state, positive, weights))  # (pairs,)
        negative_loss = tf.nn.softplus(self._logits(state, negative, weights))
        loss = positive_loss + negative_loss
        if counts is None:
            return pairs.mean(loss), tf.reduce_sum(tf.cast(pairs.mask, tf.int32))
        total = tf.reduce_sum(weights)
        return tf.reduce_sum(weights * loss) / tf.maximum(total, 1.0), total

    def _logits(self, state, behavior, weights):
        if self.mlp is None:
            logits = tf.reduce_sum(state * behavior, axis=-1)
        else:
            inputs = tf.concat([state, behavior], axis=-1)
            logits = self.mlp(inputs, mask=weights, training=True)[:, 0]
        return tf.cast(logits, tf.float32)

    def _draw(self, mask, counts=None):
        """Draws a valid position of another row for each position.

        Returns:
            Tuple of flat indices, `(B, L)`, and whether a row has any to draw from, `(B,)`.
        """
        in_row = tf.cumsum(tf.cast(mask, tf.int64), axis=1, exclusive=True)  # (B, L)
        listed, counts = _listed(mask, counts)
        total = tf.reduce_sum(counts)
        # The candidates of a row are the valid positions of all other rows, from its end on.
        starts, candidates = tf.cumsum(counts, exclusive=True), total - counts  # (B,) each
        uniform = keras.random.uniform((tf.shape(mask)[0], 2), seed=self.seed_generator)
        first = _random_below(candidates, uniform[:, 0])
        stride = 1 + _random_below(candidates - 1, uniform[:, 1])
        # int64: the product of a long row and a long stride overflows 32 bits.
        first, stride, candidates, ends = (
            tf.cast(per_row, tf.int64)[:, None]
            for per_row in (first, stride, candidates, starts + counts)
        )  # (B, 1) each
        walk = (first + in_row * stride) % tf.maximum(candidates, 1)
        drawn = (ends + walk) % tf.cast(tf.maximum(total, 1), tf.int64)
        return tf.gather(listed, drawn), candidates[:, 0] > 0

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        store["seed_generator"] = self.seed_generator.state

    def load_own_variables(self, store: Any) -> None:
        variables = {name: store[name] for name in store.keys() if name != "seed_generator"}
        super().load_own_variables(variables)
        self.seed_generator.state.assign(store["seed_generator"])

    def compute_mask(self, inputs: tf.Tensor, previous_mask: Any) -> Any:
        return previous_mask

    def compute_output_shape(
        self, states_shape: tuple[int | None, ...], history_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return tuple(states_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "hidden_units": list(self.hidden_units),
            "activation": activation_config(self.activation),
            "weight": self.weight,
            "seed": self.seed,
        }


def _listed(mask, counts):
    """Lists the valid positions, each as often as it counts.

    Returns:
        Tuple of flat indices, at least one, and how many of them each row has, `(B,)`.
    """
    size = tf.size(mask)
    if counts is not None:
        counts = tf.where(mask, tf.cast(counts, tf.int32), 0)
        listed = tf.repeat(tf.range(size), tf.reshape(counts, [-1]))
        return tf.pad(listed, [[0, 1]]), tf.reduce_sum(counts, axis=1)
    flat = tf.reshape(mask, [-1])
    rank = tf.cumsum(tf.cast(flat, tf.int32), exclusive=True)  # (B * L,)
    # The number of valid positions is not known to XLA; invalid ones go to an extra last element.
    listed = tf.scatter_nd(tf.where(flat, rank, size)[:, None], tf.range(size), [size + 1])
    return listed, tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)


def _random_below(bound, uniform):
    """Integers in `[0, bound)` from numbers in `[0, 1)`; 0 where `bound` is not positive.

    The minimum corrects products that are rounded up to `bound`.
    """
    integers = tf.cast(tf.cast(bound, tf.float32) * uniform, tf.int32)
    return tf.maximum(tf.minimum(integers, bound - 1), 0)
