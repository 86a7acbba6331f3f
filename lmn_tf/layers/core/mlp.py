"""Stacks of dense layers."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_hidden_units, check_positive_integer, check_rate
from lmn_tf.layers.core.activations import activation_config, get_activation, make_activation
from lmn_tf.layers.core.dice import Dice
from lmn_tf.layers.core.masked_batch_normalization import MaskedBatchNormalization


@keras.saving.register_keras_serializable(package="lmn_tf")
class MLP(keras.layers.Layer):
    """Dense layers on the last axis, each followed by an activation.

    Computes `dropout(activation(x @ kernel + bias))` for each hidden width,
    then a linear layer of `output_units`, if given. The mask only affects the
    statistics of batch normalization and of Dice, which exclude padding.

    Args:
        hidden_units: Tuple of integers. Width of each hidden layer. Defaults to
            `(200, 80)`.
        activation: Activation of the hidden layers: `"prelu"`, `"dice"` or any
            Keras activation. Defaults to `"relu"`.
        output_units: Integer. Width of a last layer without activation, or
            `None` for none. Defaults to `None`.
        batch_norm: Boolean. Whether to batch-normalize the inputs. Defaults to
            `False`.
        dropout: Float. Share of each hidden layer dropped in training. Defaults
            to `0.0`.
        kernel_initializer: Initializer of all kernels. Defaults to
            `"glorot_uniform"`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(batch, ..., d)`.
        mask: Optional boolean tensor of shape `(batch, ...)`, true where valid.
        training: Boolean. Whether to drop units and use batch statistics.

    Returns:
        Float tensor of shape `(batch, ..., width of the last layer)`.

    Raises:
        ValueError: If a width is not a positive integer, `dropout` is not in
            [0, 1), or the layer would be empty.

    Example:

    >>> MLP((16, 8), activation="dice", output_units=1)(np.ones((4, 5))).shape
    TensorShape([4, 1])
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = (200, 80),
        activation: str | Callable = "relu",
        output_units: int | None = None,
        batch_norm: bool = False,
        dropout: float = 0.0,
        kernel_initializer: str = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_units = check_hidden_units("hidden_units", hidden_units)
        if output_units is not None:
            check_positive_integer("output_units", output_units)
        elif not self.hidden_units:
            raise ValueError(
                "`hidden_units` must not be empty when `output_units` is None. "
                "Received: hidden_units=()"
            )
        check_rate("dropout", dropout)
        self.activation = get_activation(activation)
        self.output_units = output_units
        self.batch_norm = batch_norm
        self.dropout = dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.supports_masking = True

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        shape = tuple(inputs_shape)
        self.normalization = None
        if self.batch_norm:
            self.normalization = MaskedBatchNormalization(
                name="normalization", dtype=self.dtype_policy
            )
            self.normalization.build(shape)
        self.hidden = []
        for index, units in enumerate(self.hidden_units):
            dense = self._dense(units, f"hidden_{index}", shape)
            shape = (*shape[:-1], units)
            activation = make_activation(self.activation, len(shape), f"activation_{index}")
            activation.dtype_policy = self.dtype_policy
            activation.build(shape)
            self.hidden.append((dense, activation))
        self.dropout_layer = None
        if self.dropout:
            self.dropout_layer = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)
        self.output_layer = None
        if self.output_units is not None:
            self.output_layer = self._dense(self.output_units, "output", shape)

    def _dense(self, units, name, shape):
        dense = keras.layers.Dense(
            units,
            # A copy: an initializer with a seed would draw the same numbers again.
            kernel_initializer=self.kernel_initializer.clone(),
            name=name,
            dtype=self.dtype_policy,
        )
        dense.build(shape)
        return dense

    def call(
        self, inputs: tf.Tensor, mask: tf.Tensor | None = None, training: bool | None = None
    ) -> tf.Tensor:
        x = inputs
        if self.normalization is not None:
            x = self.normalization(x, mask=mask, training=training)
        for dense, activation in self.hidden:
            x = dense(x)
            if isinstance(activation, Dice):
                x = activation(x, mask=mask, training=training)
            else:
                x = activation(x)
            if self.dropout_layer is not None:
                x = self.dropout_layer(x, training=training)
        return x if self.output_layer is None else self.output_layer(x)

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*inputs_shape[:-1], self.output_units or self.hidden_units[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "hidden_units": list(self.hidden_units),
            "activation": activation_config(self.activation),
            "output_units": self.output_units,
            "batch_norm": self.batch_norm,
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
