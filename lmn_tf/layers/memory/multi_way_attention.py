"""The attention of IMN between a history, a candidate and a memory."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_choice, check_positive_integer
from lmn_tf.layers.history_layer import HistoryLayer, events_of
from lmn_tf.ops.sequence.valid_positions import ValidPositions


@keras.saving.register_keras_serializable(package="lmn_tf")
class MultiWayAttention(HistoryLayer):
    """Pools a history with weights that depend on the candidate and on a memory.

    Scores behavior `e` against memory `m` and target `v` by two dense layers on
    `[e - m; e - v; e * m; e * v]` and returns the sum of the behaviors, each times the sigmoid of
    its score. Padded positions get weight exactly 0, and an empty history gives exactly 0.

    The concatenation of width `4 * d` is never built. With the kernel split into four, the first
    layer is `[e; v * e] @ [Wem + Wev; Wpv] + (m * e) @ Wpm - m @ Wem - v @ Wev`, whose first term
    is the same for every memory (`prepare`). Time and memory are linear in the number of valid
    positions.

    Args:
        hidden_units: Integer. Width of the first dense layer, which the paper leaves open.
            Defaults to `64`.
        activation: Activation of that layer. Defaults to `"sigmoid"`.
        weight_normalization: `"sigmoid"`, or `"softmax"` over the history. Defaults to
            `"sigmoid"`.
        normalize: `"none"`, as in the paper, or `"length"`, which divides sigmoid weights by the
            number of valid positions. Defaults to `"none"`.
        cross: `"full"`, or `"delayed"`, which scores without the target:
            `[e - m; e * m]`. Defaults to `"full"`.
        euclidean: Boolean. Whether scores use differences; otherwise each is replaced by the
            product of the same two vectors. Defaults to `True`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        history: Float tensor of shape `(batch, length, d)`.
        target: Float tensor of shape `(batch, d)`; not read with `cross="delayed"`.
        memory: Float tensor of shape `(batch, d)`.
        mask: Optional boolean tensor of shape `(batch, length)`, true where valid. Defaults to
            the Keras mask of `history`.

    Returns:
        Float tensor of shape `(batch, d)`.

    Raises:
        ValueError: If an argument is invalid, or the widths of history, target and memory differ.

    Example:

    >>> layer = MultiWayAttention()
    >>> layer(np.ones((2, 5, 8)), np.ones((2, 8)), np.ones((2, 8))).shape
    TensorShape([2, 8])

    Reference:
        - "Iterative Memory Network for Long Sequential User Behavior Modeling in Recommender
          Systems", eqs. 2, 3 and 5.
    """

    def __init__(
        self,
        hidden_units: int = 64,
        activation: str | Callable = "sigmoid",
        weight_normalization: str = "sigmoid",
        normalize: str = "none",
        cross: str = "full",
        euclidean: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integer("hidden_units", hidden_units)
        check_choice("weight_normalization", weight_normalization, ("sigmoid", "softmax"))
        check_choice("normalize", normalize, ("none", "length"))
        check_choice("cross", cross, ("full", "delayed"))
        if normalize == "length" and weight_normalization == "softmax":
            raise ValueError(
                "`normalize` must be 'none' with softmax weights, which have a sum of 1. "
                "Received: normalize='length'"
            )
        self.hidden_units = hidden_units
        self.activation = keras.activations.get(activation)
        self.weight_normalization = weight_normalization
        self.normalize = normalize
        self.cross = cross
        self.euclidean = euclidean

    def build(
        self,
        history_shape: tuple[int | None, ...],
        target_shape: tuple[int | None, ...],
        memory_shape: tuple[int | None, ...],
    ) -> None:
        width = history_shape[-1]
        for name, shape in (("target", target_shape), ("memory", memory_shape)):
            if shape[-1] != width:
                raise ValueError(
                    f"`{name}` must be as wide as `history`. "
                    f"Received: {name} width={shape[-1]}, history width={width}"
                )
        self._blocks = 4 if self.cross == "full" else 2
        self.kernel = self.add_weight(
            shape=(self._blocks * width, self.hidden_units),
            initializer="glorot_uniform",
            name="kernel",
        )
        self.bias = self.add_weight(shape=(self.hidden_units,), initializer="zeros", name="bias")
        self.score_kernel = self.add_weight(
            shape=(self.hidden_units, 1), initializer="glorot_uniform", name="score_kernel"
        )
        self.score_bias = self.add_weight(shape=(1,), initializer="zeros", name="score_bias")
        self.built = True

    def call(
        self,
        history: tf.Tensor,
        target: tf.Tensor,
        memory: tf.Tensor,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        items, positions = events_of(history, mask, windows=None)  # (N, d)
        weights = self.prepare(items, target, positions)(memory)  # (N,)
        return positions.row_sum(tf.cast(weights, items.dtype)[:, None] * items)

    def prepare(self, items: tf.Tensor, target: tf.Tensor, positions: ValidPositions) -> Callable:
        """Computes the part of the weights that does not depend on the memory.

        Args:
            items: Float tensor of shape `(N, d)`: the valid behaviors.
            target: Float tensor of shape `(batch, d)`.
            positions: The `ValidPositions` that the behaviors were taken from.

        Returns:
            Function from a memory of shape `(batch, d)` to float32 weights of shape `(N,)`.
        """
        kernel = self._split_kernel()
        target = tf.cast(target, items.dtype)
        per_row, constant = self.bias, None
        if self.euclidean:
            constant = tf.matmul(items, kernel["constant"])  # (N, units)
        if self.cross == "full":
            crossed = tf.matmul(items * positions.repeat(target), kernel["target_product"])
            constant = crossed if constant is None else constant + crossed
            if self.euclidean:
                per_row -= tf.matmul(target, kernel["target_difference"])

        def weigh(memory):
            memory = tf.cast(memory, items.dtype)
            x = tf.matmul(items * positions.repeat(memory), kernel["memory_product"])  # (N, units)
            if constant is not None:
                x += constant
            row = per_row
            if self.euclidean:
                row -= tf.matmul(memory, kernel["memory_difference"])
            x = self.activation(x + (positions.repeat(row) if row.shape.rank == 2 else row))
            scores = tf.matmul(x, tf.convert_to_tensor(self.score_kernel)) + self.score_bias
            return self._normalize(tf.cast(scores[:, 0], tf.float32), positions)

        return weigh

    def _split_kernel(self):
        """Splits the kernel by the vectors that it multiplies, differences resolved."""
        blocks = tf.split(tf.convert_to_tensor(self.kernel), self._blocks, axis=0)
        sides = ["memory", "target"][: self._blocks // 2]
        first, second = blocks[: len(sides)], blocks[len(sides) :]
        if not self.euclidean:  # both halves multiply the same products
            second = [left + right for left, right in zip(first, second, strict=True)]
        kernel = {"constant": tf.add_n(first)}
        for side, difference, product in zip(sides, first, second, strict=True):
            kernel[f"{side}_difference"], kernel[f"{side}_product"] = difference, product
        return kernel

    def _normalize(self, scores, positions):
        if self.weight_normalization == "softmax":
            return positions.row_softmax(scores)
        weights = tf.sigmoid(scores)
        if self.normalize == "length":
            weights *= positions.repeat(1.0 / _lengths(positions))[:, 0]
        return weights

    def compute_output_shape(
        self,
        history_shape: tuple[int | None, ...],
        target_shape: tuple[int | None, ...],
        memory_shape: tuple[int | None, ...],
    ) -> tuple[int | None, ...]:
        return (history_shape[0], history_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "activation": keras.activations.serialize(self.activation),
            "weight_normalization": self.weight_normalization,
            "normalize": self.normalize,
            "cross": self.cross,
            "euclidean": self.euclidean,
        }


def _lengths(positions):
    """Number of valid positions of each row, at least 1, of shape `(batch, 1)`."""
    if positions.mask is None:
        return tf.fill([positions.batch, 1], tf.cast(tf.maximum(positions.length, 1), tf.float32))
    count = tf.reduce_sum(tf.cast(positions.mask, tf.float32), axis=1, keepdims=True)
    return tf.maximum(count, 1.0)
