"""Shared experts with a gate for each task."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_positive_integer
from lmn_tf.layers.core.activations import activation_config
from lmn_tf.layers.core.mlp import MLP


@keras.saving.register_keras_serializable(package="lmn_tf")
class ExpertMixture(keras.layers.Layer):
    """Gives each task its own mixture of experts that all tasks share.

    Computes `output[t] = sum_e softmax(x @ gate[t])[e] * expert_e(x)` for each
    task `t`, where an expert is an MLP.

    Args:
        num_experts: Integer. Number of experts.
        num_tasks: Integer. Number of tasks.
        hidden_units: Tuple of integers. Layers of an expert. Defaults to
            `(200, 80)`.
        activation: Activation of the experts. Defaults to `"relu"`.
        dropout: Float. Share of each layer dropped in training. Defaults to
            `0.0`.
        batch_norm: Boolean. Whether to batch-normalize the inputs. Defaults to
            `False`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(batch, width)`.
        training: Boolean. Whether to drop units and use batch statistics.

    Returns:
        Float tensor of shape `(batch, num_tasks, hidden_units[-1])`.

    Raises:
        ValueError: If a number is not a positive integer.

    Example:

    >>> ExpertMixture(num_experts=3, num_tasks=2, hidden_units=(8,))(np.ones((4, 5))).shape
    TensorShape([4, 2, 8])

    Reference:
        - Ma et al., "Modeling Task Relationships in Multi-task Learning with
          Multi-gate Mixture-of-Experts", KDD 2018, eqs. 6-8.
    """

    def __init__(
        self,
        num_experts: int,
        num_tasks: int,
        hidden_units: Sequence[int] = (200, 80),
        activation: str | Callable = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integer("num_experts", num_experts)
        check_positive_integer("num_tasks", num_tasks)
        self.num_experts = num_experts
        self.num_tasks = num_tasks
        self.experts = [
            MLP(
                hidden_units,
                activation=activation,
                dropout=dropout,
                batch_norm=batch_norm,
                dtype=self.dtype_policy,
                name=f"expert_{index}",
            )
            for index in range(num_experts)
        ]
        self.gate = keras.layers.Dense(
            num_tasks * num_experts, use_bias=False, dtype=self.dtype_policy, name="gate"
        )
        first = self.experts[0]
        self.hidden_units, self.activation = first.hidden_units, first.activation
        self.dropout, self.batch_norm = dropout, batch_norm

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        for layer in (*self.experts, self.gate):
            layer.build(inputs_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        outputs = tf.stack([expert(inputs, training=training) for expert in self.experts], axis=1)
        scores = tf.reshape(self.gate(inputs), [-1, self.num_tasks, self.num_experts])
        weights = tf.nn.softmax(tf.cast(scores, tf.float32), axis=-1)  # (batch, tasks, experts)
        return tf.matmul(tf.cast(weights, outputs.dtype), outputs)

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (inputs_shape[0], self.num_tasks, self.hidden_units[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_experts": self.num_experts,
            "num_tasks": self.num_tasks,
            "hidden_units": list(self.hidden_units),
            "activation": activation_config(self.activation),
            "dropout": self.dropout,
            "batch_norm": self.batch_norm,
        }
