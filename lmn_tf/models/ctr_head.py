"""The head that all click models share."""

import keras

from lmn_tf.layers.mlp import MLP


@keras.saving.register_keras_serializable(package="lmn_tf")
class CTRHead(keras.layers.Layer):
    """Turns the concatenated groups of a row into one logit a label.

    Computes `logits = MLP(batch_norm(x)) @ kernel + bias`. Logits are float32 whatever the
    precision of the layers below; no sigmoid is applied.

    Args:
        num_labels: Integer. Number of logits.
        hidden_units: Tuple of integers. Widths of the hidden layers. Defaults to `(200, 80)`.
        activation: Activation of the hidden layers, `"prelu"` and `"dice"` included.
            Defaults to `"prelu"`.
        dropout: Float. Share of each hidden layer dropped in training. Defaults to `0.0`.
        batch_norm: Boolean. Whether to batch-normalise the input vector. Defaults to `True`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(batch, width)`.
        training: Boolean. Whether to drop units and use batch statistics.

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
        num_labels,
        hidden_units=(200, 80),
        activation="prelu",
        dropout=0.0,
        batch_norm=True,
        **kwargs,
    ):
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
        self.mlp = MLP(
            self.hidden_units,
            activation=activation,
            dropout=dropout,
            batch_norm=batch_norm,
            dtype=self.dtype_policy,
            name="mlp",
        )
        self.logits = keras.layers.Dense(num_labels, dtype="float32", name="logits")

    def build(self, inputs_shape):
        self.mlp.build(inputs_shape)
        self.logits.build((None, self.hidden_units[-1]))
        self.built = True

    def call(self, inputs, training=None):
        return self.logits(self.mlp(inputs, training=training))

    def compute_output_shape(self, inputs_shape):
        return (inputs_shape[0], self.num_labels)

    def get_config(self):
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "hidden_units": self.hidden_units,
            "activation": self.activation,
            "dropout": self.dropout,
            "batch_norm": self.batch_norm,
        }
