"""Head of all click models."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.core.expert_mixture import ExpertMixture
from lmn_tf.layers.core.mlp import MLP
from lmn_tf.models.options import CTRModelOptions


@keras.saving.register_keras_serializable(package="lmn_tf")
class CTRHead(keras.layers.Layer):
    """Computes one logit per label from the concatenated groups of a row.

    Computes `logits = MLP(batch_norm(x)) @ kernel + bias`. Logits are float32 for every
    dtype policy, and no sigmoid is applied. With several labels, each label can have a tower after
    the shared layers (`tower_units`), and its own mixture of shared experts instead of the MLP
    (`num_experts`).

    Args:
        num_labels: Integer. Number of logits.
        hidden_units: Tuple of integers. Widths of the hidden layers. Defaults to `(200, 80)`.
        activation: Activation of the hidden layers, `"prelu"` and `"dice"` included.
            Defaults to `"prelu"`.
        dropout: Float. Dropout rate of the hidden layers. Defaults to `0.0`.
        batch_norm: Boolean. Whether to batch-normalize the input vector. Defaults to `True`.
        num_experts: Integer. Number of experts of an `ExpertMixture` instead of the MLP; 0 for the
            MLP. Defaults to `0`.
        tower_units: Tuple of integers. Widths of separate hidden layers of each label, after the
            shared ones. Defaults to `()`.
        extra_units: Integer. Width of the result of `extra`. Defaults to `0`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(batch, width)`.
        extra: Function of the last shared hidden layer, `(batch, units)` or with experts
            `(batch, labels, units)`. It returns a tensor `(batch, extra_units)` that is
            concatenated to that layer. Defaults to `None`.
        training: Boolean. Whether to apply dropout and use batch statistics.

    Returns:
        Float32 tensor of shape `(batch, num_labels)`.

    Raises:
        ValueError: If `num_labels` is not a positive integer.

    Example:

    >>> CTRHead(num_labels=2, hidden_units=(8,))(np.ones((4, 5), "float32")).shape
    TensorShape([4, 2])
    """

    def __init__(
        self,
        num_labels: int,
        hidden_units: Sequence[int] = (200, 80),
        activation: str | Callable = "prelu",
        dropout: float = 0.0,
        batch_norm: bool = True,
        num_experts: int = 0,
        tower_units: Sequence[int] = (),
        extra_units: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_labels < 1:
            raise ValueError(
                f"`num_labels` must be a positive integer. Received: num_labels={num_labels}"
            )
        self.num_labels = num_labels
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.num_experts = num_experts
        self.tower_units = tuple(tower_units)
        self.extra_units = extra_units
        shared = {
            "hidden_units": self.hidden_units,
            "activation": activation,
            "dropout": dropout,
            "batch_norm": batch_norm,
            "dtype": self.dtype_policy,
        }
        if num_experts:
            self.mlp = ExpertMixture(num_experts, num_labels, name="experts", **shared)
        else:
            self.mlp = MLP(name="mlp", **shared)
        self.towers = self._make_towers() if self.tower_units else []
        self.logits = []
        if num_experts or self.towers:
            self.logits = [self._make_logits(1, f"logits_{i}") for i in range(num_labels)]
        else:
            self.logits = [self._make_logits(num_labels, "logits")]

    def _make_towers(self):
        return [
            MLP(
                self.tower_units,
                activation=self.activation,
                dropout=self.dropout,
                dtype=self.dtype_policy,
                name=f"tower_{index}",
            )
            for index in range(self.num_labels)
        ]

    def _make_logits(self, units, name):
        return keras.layers.Dense(units, dtype="float32", name=name)

    @classmethod
    def of_options(cls, num_labels: int, options: CTRModelOptions, **arguments: Any) -> "CTRHead":
        """Returns the head that the options of a model describe.

        Args:
            num_labels: Integer. Number of logits.
            options: `CTRModelOptions`.
            **arguments: Further arguments of the constructor.
        """
        names = ("activation", "batch_norm", "dropout", "hidden_units", "num_experts")
        described = {name: getattr(options, name) for name in (*names, "tower_units")}
        return cls(num_labels, **described, **arguments)

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        self.mlp.build(inputs_shape)
        shape = (None, self.hidden_units[-1] + self.extra_units)
        for tower in self.towers:
            tower.build(shape)
        for logits in self.logits:
            logits.build((None, self.tower_units[-1]) if self.towers else shape)
        self.built = True

    def call(
        self,
        inputs: tf.Tensor,
        extra: Callable[[tf.Tensor], tf.Tensor] | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        hidden = self.mlp(inputs, training=training)
        added = None if extra is None else tf.cast(extra(hidden), hidden.dtype)
        columns = []
        for index, logits in enumerate(self.logits):
            x = hidden[:, index] if self.num_experts else hidden
            if added is not None:
                x = tf.concat([x, added], axis=-1)
            if self.towers:
                x = self.towers[index](x, training=training)
            columns.append(logits(x))
        return columns[0] if len(columns) == 1 else tf.concat(columns, axis=-1)

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (inputs_shape[0], self.num_labels)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "hidden_units": self.hidden_units,
            "activation": self.activation,
            "dropout": self.dropout,
            "batch_norm": self.batch_norm,
            "num_experts": self.num_experts,
            "tower_units": self.tower_units,
            "extra_units": self.extra_units,
        }
