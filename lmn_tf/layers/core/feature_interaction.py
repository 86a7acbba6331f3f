"""Explicit interactions between groups of features."""

from typing import Any

import keras
import tensorflow as tf
from keras_rs.layers import DotInteraction, FeatureCross

from lmn_tf.layers.base import check_choice, check_positive_integer


@keras.saving.register_keras_serializable(package="lmn_tf")
class FeatureInteraction(keras.layers.Layer):
    """Concatenates groups of features and lets them interact.

    `"cross"` stacks cross layers on the concatenation `x0`:
    `x = x0 * (x @ kernel + bias) + x` for each layer, which keeps the width.
    `"dot"` projects each group to one width and appends the dot products of all
    pairs of groups to the concatenation. Both are layers of keras-rs.
    `"product"` projects the groups in the same way and appends, for each pair
    of the candidate and another group, their element-wise product and their dot
    product: with the user and pooled histories, these are what matrix
    factorization and item-item models score by, and an MLP on a concatenation
    is slow to learn.

    Args:
        kind: `"cross"`, `"dot"` or `"product"`. Defaults to `"cross"`.
        num_layers: Integer. Number of cross layers. Defaults to `2`.
        projection_dim: Integer. Common width of the groups for `"dot"` and
            `"product"`. Defaults to `32`.
        candidate: Integer. Index of the group of the candidate for `"product"`.
            Defaults to `0`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: List of float tensors of shapes `(batch, width)`, of any widths.

    Returns:
        Float tensor of shape `(batch, sum of widths)`, for `n` groups
        `n * (n - 1) / 2` wider with `"dot"`, and `(n - 1) * (projection_dim + 1)`
        wider with `"product"`.

    Raises:
        ValueError: If an argument is invalid, or `"dot"` or `"product"` gets
            fewer than two groups.

    Example:

    >>> FeatureInteraction("dot")([np.ones((2, 5)), np.ones((2, 3)), np.ones((2, 4))]).shape
    TensorShape([2, 15])

    Reference:
        - Wang et al., "DCN V2: Improved Deep & Cross Network", WWW 2021, eq. 1.
        - Naumov et al., "Deep Learning Recommendation Model for Personalization
          and Recommendation Systems", 2019, section 2.1.
        - Qu et al., "Product-based Neural Networks for User Response Prediction",
          ICDM 2016, section III-B (`"product"` is our choice of pairs).
    """

    def __init__(
        self,
        kind: str = "cross",
        num_layers: int = 2,
        projection_dim: int = 32,
        candidate: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("kind", kind, ("cross", "dot", "product"))
        check_positive_integer("num_layers", num_layers)
        check_positive_integer("projection_dim", projection_dim)
        self.kind = kind
        self.num_layers = num_layers
        self.projection_dim = projection_dim
        self.candidate = candidate

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        widths = [shape[-1] for shape in inputs_shape]
        self.crosses, self.projections = [], []
        if self.kind == "cross":
            for index in range(self.num_layers):
                cross = FeatureCross(name=f"cross_{index}", dtype=self.dtype_policy)
                self.crosses.append(cross)
            for cross in self.crosses:
                cross.build((None, sum(widths)))
                with keras.name_scope(cross.name):  # its own part is built where it is called
                    cross.dense.build((None, sum(widths)))
            return
        if len(widths) < 2:
            raise ValueError(
                f"`inputs` must be two groups or more for `kind={self.kind!r}`. "
                f"Received: {len(widths)} group"
            )
        if not 0 <= self.candidate < len(widths):
            raise ValueError(
                "`candidate` must be the index of a group. "
                f"Received: candidate={self.candidate}, of {len(widths)} groups"
            )
        for index, width in enumerate(widths):
            dense = keras.layers.Dense(
                self.projection_dim, name=f"projection_{index}", dtype=self.dtype_policy
            )
            dense.build((None, width))
            self.projections.append(dense)
        self.dot = DotInteraction(name="dot", dtype=self.dtype_policy)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        vector = tf.concat(inputs, axis=-1)  # (batch, sum of widths)
        if self.kind == "cross":
            x = vector
            for cross in self.crosses:
                x = cross(vector, x)
            return x
        pairs = zip(self.projections, inputs, strict=True)
        groups = [dense(group) for dense, group in pairs]  # (batch, projection_dim) each
        if self.kind == "dot":
            return tf.concat([vector, self.dot(groups)], axis=-1)
        candidate = groups.pop(self.candidate)
        products = [candidate * group for group in groups]
        dots = [tf.reduce_sum(product, axis=-1, keepdims=True) for product in products]
        return tf.concat([vector, *products, *dots], axis=-1)

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        width, count = sum(shape[-1] for shape in inputs_shape), len(inputs_shape)
        if self.kind == "dot":
            width += count * (count - 1) // 2
        elif self.kind == "product":
            width += (count - 1) * (self.projection_dim + 1)
        return (inputs_shape[0][0], width)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kind": self.kind,
            "num_layers": self.num_layers,
            "projection_dim": self.projection_dim,
            "candidate": self.candidate,
        }
