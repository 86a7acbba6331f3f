"""Gates that fuse a memory read-out into its tokens."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_choice
from lmn_tf.layers.watched import WatchedMixin


@keras.saving.register_keras_serializable(package="lmn_tf")
class MemoryGate(WatchedMixin, keras.layers.Layer):
    """Fuses a memory's read-out `r` into the tokens `X` that read it.

    - `"swiglu"`: `(r * SiLU(X Wg + bg)) Wo + bo`. With `r = 1` this is a two-layer feed-forward
      network of hidden width `value_dim`; the memory multiplies its hidden units.
    - `"sigmoid"`: `X * sigmoid(r Wo)`; the memory scales the token's channels.
    - `"residual"`: `r Wo`.
    - `"scalar"`: `sigmoid(X wg) * (r Wo)`, with one gate per token.

    The method section of the MSN paper was not available: the gates are reconstructed from other
    product-key memories, `"swiglu"` and `"scalar"` from Meta's memory layers.

    Where the layer is `watched`, it reports how open the gate is: a float32 tensor of shape
    `(..., units)` with the sigmoid in the formula, from 0 (closed) to 1 (open). That of `"swiglu"`
    is the one in `SiLU(z) = z * sigmoid(z)`; `"residual"` has none and reports nothing.

    Args:
        gate: `"swiglu"`, `"sigmoid"`, `"residual"` or `"scalar"`. Defaults to `"swiglu"`.
        zero_output: Boolean. Whether to initialize `Wo` with zeros, so that a block that adds the
            output starts as if without memory. Not for `"sigmoid"`. Defaults to `False`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(..., D)`.
        read_out: Float tensor of shape `(..., value_dim)`; its token axis may have length 1.

    Returns:
        Float tensor shaped like `inputs`.

    Raises:
        ValueError: If `gate` is unknown, or `zero_output` is set for `"sigmoid"`.

    Example:

    >>> MemoryGate()(np.ones((2, 3, 8)), np.ones((2, 3, 5))).shape
    TensorShape([2, 3, 8])

    Reference:
        - Wu et al., "MSN: A Memory-based Sparse Activation Scaling Framework for Large-scale
          Industrial Recommendation", 2026 (reconstruction); Berges et al., "Memory Layers at
          Scale", 2024, section 3.
    """

    def __init__(self, gate: str = "swiglu", zero_output: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_choice("gate", gate, ("swiglu", "sigmoid", "residual", "scalar"))
        if zero_output and gate == "sigmoid":
            raise ValueError(
                "`zero_output` must be False with `gate='sigmoid'`, whose output is not zero for "
                "zero weights. Received: zero_output=True"
            )
        self.gate = gate
        self.zero_output = zero_output
        self.supports_masking = True

    def build(
        self, inputs_shape: tuple[int | None, ...], read_out_shape: tuple[int | None, ...]
    ) -> None:
        width, value_dim = inputs_shape[-1], read_out_shape[-1]
        self.gate_projection = None
        if self.gate == "swiglu":
            self.gate_projection = self._dense(value_dim, "gate_projection", width, use_bias=True)
        elif self.gate == "scalar":
            self.gate_projection = self._dense(1, "gate_projection", width, use_bias=False)
        self.output_projection = self._dense(
            width,
            "output_projection",
            value_dim,
            use_bias=self.gate == "swiglu",
            kernel_initializer="zeros" if self.zero_output else "glorot_uniform",
        )

    def _dense(self, units, name, width, **arguments):
        dense = keras.layers.Dense(units, name=name, dtype=self.dtype_policy, **arguments)
        dense.build((None, width))
        return dense

    def call(self, inputs: tf.Tensor, read_out: tf.Tensor) -> tf.Tensor:
        if self.gate == "swiglu":
            hidden = self.gate_projection(inputs)
            self._report(hidden)
            return self.output_projection(read_out * tf.nn.silu(hidden))
        output = self.output_projection(read_out)
        if self.gate == "sigmoid":
            self._report(output)
            return inputs * tf.sigmoid(output)
        if self.gate == "scalar":
            hidden = self.gate_projection(inputs)
            self._report(hidden)
            return tf.sigmoid(hidden) * output
        return tf.broadcast_to(output, tf.shape(inputs))

    def _report(self, hidden):
        if self._watcher is not None:
            self._watcher(tf.sigmoid(tf.cast(hidden, tf.float32)))

    def compute_output_shape(
        self, inputs_shape: tuple[int | None, ...], read_out_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return tuple(inputs_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gate": self.gate, "zero_output": self.zero_output}
