"""Base class of tf-keras layers that compute with a layer of Keras 3."""

from typing import Any, ClassVar

import keras
import tensorflow as tf
import tf_keras

from lmn_tf.keras_internals import calling_layer
from lmn_tf.layers.base import own_losses

# Options that both layers have.
_BASE_OPTIONS = ("name", "trainable", "dtype")


class LendingLayer(tf_keras.layers.Layer):
    """A tf-keras layer that computes with a layer of Keras 3 and trains its variables.

    Models of Keras 2 (those of tf-keras, and with them those of TensorFlow Recommenders) do not
    know layers of Keras 3: held by one, a Keras 3 layer either ends `fit` with an error, or is
    never trained. This layer hides one from tf-keras, and lends tf-keras the `tf.Variable`s of its
    weights. They are trained, counted, saved and loaded as weights of this layer, under the
    optimizers of tf-keras. Losses that the Keras 3 layer adds are losses of this layer, and the
    means that it logs are metrics of this layer.

    Weights are created in the first call. On several replicas and on parameter servers, call the
    model on a batch in the scope of the strategy first.

    Subclasses name the Keras 3 layer, and pass the arguments of a call on to `lend`.

    Args:
        *args: Arguments of the Keras 3 layer.
        **kwargs: Further arguments of the Keras 3 layer, such as `name` and `dtype`.

    Attributes:
        keras_layer: The Keras 3 layer, whose weights are those of this layer.

    Raises:
        ValueError: If the first call is in a step of a strategy, or the layer is called in a model
            of Keras 3, which would not train it.

    Example:

    >>> class PoolingLayer(LendingLayer):
    ...     layer_class = lmn_tf.layers.MLP
    ...     def call(self, inputs):
    ...         return self.lend(inputs)
    >>> layer = PoolingLayer(hidden_units=(8,))
    >>> layer(np.ones((2, 3), "float32")).shape, len(layer.trainable_weights)
    (TensorShape([2, 8]), 2)
    """

    layer_class: ClassVar[type[keras.layers.Layer]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        layer = self.layer_class(*args, **kwargs)
        super().__init__(name=layer.name, trainable=layer.trainable, dtype=layer.dtype_policy.name)
        # Not an attribute that tf-keras tracks.
        object.__setattr__(self, "keras_layer", layer)
        self._lent_weights = []
        means = {
            attribute: tf_keras.metrics.Mean(name=mean.name)
            for attribute, mean in vars(layer).items()
            if isinstance(mean, keras.metrics.Mean)
        }
        for attribute, mean in means.items():
            setattr(layer, attribute, mean)
        self._means = list(means.values())

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Checks that the model is one of tf-keras, and calls the layer."""
        caller = calling_layer()
        if caller is not None or isinstance(inputs, keras.KerasTensor):
            received = "a `keras.KerasTensor`" if caller is None else f"a call by `{caller.name}`"
            raise ValueError(
                f"`{self.name}` must be in a model of tf-keras, which trains it: set "
                "TF_USE_LEGACY_KERAS=1 before TensorFlow is imported. A model of Keras 3 takes "
                f"`lmn_tf.layers.{self.layer_class.__name__}`. Received: {received}"
            )
        return super().__call__(inputs, *args, **kwargs)

    def lend(self, inputs: tf.Tensor, **arguments: Any) -> tf.Tensor:
        """Calls the Keras 3 layer.

        Args:
            inputs: First argument of the call.
            **arguments: Its other arguments. The layer is built for the shapes of those that are
                tensors.

        Returns:
            What the Keras 3 layer returns.
        """
        if not self._lent_weights:
            self._build_layer(inputs, arguments)
        self._freeze()
        outputs = self.keras_layer(inputs, **arguments)
        for loss in own_losses(self.keras_layer.losses):
            self.add_loss(loss)
        return outputs

    def _build_layer(self, inputs, arguments):
        layer = self.keras_layer
        if not layer.built:
            if tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context():
                raise ValueError(
                    f"`{self.name}` must be built in the scope of the strategy: call the model on "
                    "a batch there. Received: its first call in a step"
                )
            with tf.init_scope():
                layer.build(inputs.shape, **self.build_shapes(arguments))
        self._lent_weights = [weight.value for weight in layer.weights]

    def _freeze(self):
        """Freezes the Keras 3 layer, or thaws it, as tf-keras has this one."""
        # Not where `trainable` is set: models of tf-keras set that of their layers inside.
        if self.keras_layer.trainable != self.trainable:
            self.keras_layer.trainable = self.trainable

    def build_shapes(self, arguments: dict[str, Any]) -> dict[str, tf.TensorShape]:
        """Returns the arguments of the Keras 3 layer's `build` but the first.

        Args:
            arguments: Dictionary of the arguments of the call but the first.
        """
        return {}

    def get_config(self) -> dict[str, Any]:
        self._freeze()
        config = self.keras_layer.get_config()
        return {**config, "dtype": self.keras_layer.dtype_policy.name}

    @classmethod
    def from_keras_layer(cls, layer: keras.layers.Layer) -> "LendingLayer":
        """Returns a new layer with the options and, if `layer` is built, with its weights.

        Args:
            layer: Keras 3 layer of the class that this one computes with.

        Raises:
            ValueError: If `layer` is of another class.
        """
        if type(layer) is not cls.layer_class:
            raise ValueError(
                f"`layer` must be a `{cls.layer_class.__name__}` of Keras 3. "
                f"Received: layer={type(layer).__name__}"
            )
        lending = cls.from_config(layer.get_config())
        if layer.built:
            lending.keras_layer.build_from_config(layer.get_build_config())
            lending.keras_layer.set_weights(layer.get_weights())
        return lending

    def to_keras_layer(self) -> keras.layers.Layer:
        """Returns a new Keras 3 layer with the options and the weights of this one."""
        self._freeze()
        layer = self.layer_class.from_config(self.keras_layer.get_config())
        if self.keras_layer.built:
            layer.build_from_config(self.keras_layer.get_build_config())
            layer.set_weights(self.keras_layer.get_weights())
        return layer
