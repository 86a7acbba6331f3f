"""The user-aware block of LMN."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_choice, check_hidden_units
from lmn_tf.layers.history_layer import HistoryLayer, events_of
from lmn_tf.ops.sequence.valid_positions import ValidPositions


@keras.saving.register_keras_serializable(package="lmn_tf")
class UserAwareQuery(HistoryLayer):
    """Turns behaviors into queries that depend on the user as well.

    Computes `MLP(merge(x, u))` for each behavior `x` of a user `u`: hidden
    layers with an activation, then a linear layer as wide as `x`. The user is
    not repeated over the positions: `W [x; u] = W_x x + W_u u`, and `W_u u` is
    computed once per row. Padded positions give 0.

    The paper does not specify the sizes; one hidden layer of `2 * d` units with
    ReLU is our choice. Without `user` the layer is an MLP of the behaviors alone.

    Args:
        hidden_units: Tuple of integers, or `None` for `(2 * d,)`. Widths of the
            hidden layers. Defaults to `None`.
        merge: `"concat"` or `"add"` (which needs `du = d`). Defaults to
            `"concat"`.
        activation: Activation of the hidden layers. Defaults to `"relu"`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(batch, length, d)`; or `(events, d)` with
            `windows`.
        user: Optional float tensor of shape `(batch, du)`.
        mask: Optional boolean tensor of shape `(batch, length)`, true where
            valid.
        windows: Optional `Windows` of the rows into events that they share.

    Returns:
        Float tensor like `inputs`.

    Raises:
        ValueError: If `merge` is unknown or does not fit the widths.

    Example:

    >>> UserAwareQuery()(np.ones((2, 5, 8)), np.ones((2, 3))).shape
    TensorShape([2, 5, 8])

    Reference:
        - Lu et al., "Large Memory Network for Recommendation", WWW 2025, eq. 4.
    """

    def __init__(
        self,
        hidden_units: int | None = None,
        merge: str = "concat",
        activation: str | Callable = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("merge", merge, ("concat", "add"))
        if hidden_units is not None:
            hidden_units = check_hidden_units("hidden_units", hidden_units)
        self.hidden_units = hidden_units
        self.merge = merge
        self.activation = keras.activations.get(activation)

    def build(
        self, inputs_shape: tuple[int | None, ...], user_shape: tuple[int | None, ...] | None = None
    ) -> None:
        width = inputs_shape[-1]
        user_width = 0 if user_shape is None else user_shape[-1]
        if self.merge == "add" and user_shape is not None and user_width != width:
            raise ValueError(
                "`merge='add'` must be given behaviors and users of the same width. "
                f"Received: behavior width={width}, user width={user_width}"
            )
        hidden = (2 * width,) if self.hidden_units is None else self.hidden_units
        self._widths = (*hidden, width)
        # One kernel for the merged vector, so that it is initialized like that of a
        # dense layer on the concatenation.
        fan_in = width + (user_width if self.merge == "concat" else 0)
        self.kernel = self.add_weight(
            shape=(fan_in, self._widths[0]), initializer="glorot_uniform", name="kernel"
        )
        self.bias = self.add_weight(shape=(self._widths[0],), initializer="zeros", name="bias")
        self.dense_layers = []
        for index, units in enumerate(self._widths[1:]):
            dense = keras.layers.Dense(units, name=f"dense_{index}", dtype=self.dtype_policy)
            dense.build((None, self._widths[index]))
            self.dense_layers.append(dense)

    def call(
        self,
        inputs: tf.Tensor,
        user: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
        windows: ValidPositions | None = None,
    ) -> tf.Tensor:
        events, positions = events_of(inputs, mask, windows)
        queries = self.query(events, user, positions)
        return positions.put(queries) if windows is None else queries

    def query(
        self, events: tf.Tensor, user: tf.Tensor | None, positions: ValidPositions
    ) -> tf.Tensor:
        """Computes the queries of the valid positions.

        Args:
            events: Float tensor of shape `(E, d)`: the valid events, each once.
            user: Float tensor of shape `(batch, du)` or `None`.
            positions: `ValidPositions` or `Windows` of the rows into them.

        Returns:
            Float tensor of shape `(E, d)`.
        """
        width = events.shape[-1]
        x = tf.matmul(events, self._cast(self.kernel[:width]))  # (E, units)
        if user is None:
            return self._upper_layers(x + self._cast(self.bias))
        # The bias is added per row: this takes fewer additions, and TensorFlow 2.21 would fuse
        # product, bias, sum and ReLU into an operation without a name, with a warning.
        constant = self._user_part(user, width) + self._cast(self.bias)  # (batch, units)
        return self._upper_layers(x + positions.of_events(constant))

    def query_rows(self, items: tf.Tensor, user: tf.Tensor | None) -> tf.Tensor:
        """Computes one query per row, from items `(batch, d)` and users `(batch, du)` or `None`."""
        x = tf.matmul(items, self._cast(self.kernel[: items.shape[-1]]))  # (batch, units)
        constant = self._cast(self.bias)
        if user is not None:
            constant += self._user_part(user, items.shape[-1])
        return self._upper_layers(x + constant)

    def _user_part(self, user, width):
        kernel = self.kernel[width:] if self.merge == "concat" else self.kernel
        return tf.matmul(tf.cast(user, self.compute_dtype), self._cast(kernel))

    def _cast(self, weight):
        # Keras casts weights only inside `call`, but queries are also computed outside of it.
        return tf.cast(weight, self.compute_dtype)

    def _upper_layers(self, x):
        for dense in self.dense_layers:
            x = dense(self.activation(x))
        return x

    def compute_mask(self, inputs: tf.Tensor, previous_mask: Any) -> Any:
        return previous_mask

    def compute_output_shape(
        self, inputs_shape: tuple[int | None, ...], user_shape: tuple[int | None, ...] | None = None
    ) -> tuple[int | None, ...]:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "hidden_units": None if self.hidden_units is None else list(self.hidden_units),
            "merge": self.merge,
            "activation": keras.activations.serialize(self.activation),
        }
