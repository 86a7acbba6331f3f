"""Selection of the candidate's fields to search by."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_heads, check_hidden_units
from lmn_tf.layers.core.mlp import MLP


@keras.saving.register_keras_serializable(package="lmn_tf")
class FieldSelector(keras.layers.Layer):
    """Predicts a logit for selecting each field of the candidate.

    The vectors `T` of the fields attend to each other, `A = N + MHA(N, T, T)` with
    `N = LN(T)`, and `MLP(A_f)` is the logit of selecting field `f`. Fields may differ
    in width, so each is projected to `units` first (our choice).

    Args:
        field_widths: Tuple of integers. Widths of the fields, in order.
        units: Integer. Width of the projected fields. Defaults to `16`.
        num_heads: Integer that divides `units`. Defaults to `2`.
        hidden_units: Tuple of integers. Hidden layers of the MLP. Defaults to
            `(20, 10)`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        fields: Float tensor of shape `(batch, sum(field_widths))`: their vectors,
            concatenated.

    Returns:
        Float tensor of shape `(batch, fields)`.

    Raises:
        ValueError: If an argument is not a positive integer, `num_heads` does not
            divide `units`, or the inputs are not as wide as the fields.

    Example:

    >>> FieldSelector((4, 2, 2))(np.ones((5, 8))).shape
    TensorShape([5, 3])

    Reference:
        - Qin et al., "User Behavior Retrieval for Click-Through Rate Prediction",
          SIGIR 2020, section 3.2.
    """

    def __init__(
        self,
        field_widths: Sequence[int],
        units: int = 16,
        num_heads: int = 2,
        hidden_units: Sequence[int] = (20, 10),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.field_widths = check_hidden_units("field_widths", field_widths)
        if not self.field_widths:
            raise ValueError("`field_widths` must not be empty. Received: field_widths=()")
        check_heads(units, num_heads)
        self.units = units
        self.num_heads = num_heads
        self.projections = [
            keras.layers.Dense(units, dtype=self.dtype_policy, name=f"projection_{index}")
            for index in range(len(self.field_widths))
        ]
        self.norm = keras.layers.LayerNormalization(dtype=self.dtype_policy, name="norm")
        self.attention = keras.layers.MultiHeadAttention(
            num_heads, units // num_heads, dtype=self.dtype_policy, name="attention"
        )
        self.mlp = MLP(hidden_units, output_units=1, dtype=self.dtype_policy, name="mlp")

    def build(self, fields_shape: tuple[int | None, ...]) -> None:
        if fields_shape[-1] != sum(self.field_widths):
            raise ValueError(
                "`fields` must be as wide as `field_widths` together. "
                f"Received: width={fields_shape[-1]}, field_widths={self.field_widths}"
            )
        for projection, width in zip(self.projections, self.field_widths, strict=True):
            projection.build((None, width))
        shape = (None, len(self.field_widths), self.units)
        self.norm.build(shape)
        self.attention.build(shape, shape, shape)
        self.mlp.build(shape)

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        parts = tf.split(fields, self.field_widths, axis=-1)
        parts = [projection(part) for projection, part in zip(self.projections, parts, strict=True)]
        vectors = tf.stack(parts, axis=1)  # (batch, fields, units)
        queries = self.norm(vectors)
        attended = queries + self.attention(queries, vectors)  # (batch, fields, units)
        return self.mlp(attended)[..., 0]

    def compute_output_shape(self, fields_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (fields_shape[0], len(self.field_widths))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "field_widths": list(self.field_widths),
            "units": self.units,
            "num_heads": self.num_heads,
            "hidden_units": list(self.mlp.hidden_units),
        }
