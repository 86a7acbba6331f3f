"""Activations of hidden layers: those of Keras, and layers of this package."""

from collections.abc import Callable
from typing import Any

import keras

from lmn_tf.layers.core.dice import Dice

_LAYERS = ("prelu", "dice")


def get_activation(activation: str | Callable | None) -> str | Callable:
    """Returns an activation as `keras.activations.get` does; `"prelu"` and `"dice"` stay names."""
    return activation if activation in _LAYERS else keras.activations.get(activation)


def activation_config(activation: str | Callable) -> Any:
    """Returns what `get_activation` returned as it is written to a config."""
    return activation if isinstance(activation, str) else keras.activations.serialize(activation)


def make_activation(activation: str | Callable, rank: int, name: str) -> keras.layers.Layer:
    """Creates an activation layer: `"prelu"`, `"dice"` or any Keras activation.

    Args:
        activation: Activation name, function or `None`.
        rank: Integer. Rank of the layer's inputs.
        name: String. Name of the layer.

    Returns:
        A Keras layer.
    """
    if activation == "prelu":
        # One slope per channel, whatever the number of positions.
        shared_axes = list(range(1, rank - 1)) or None
        return keras.layers.PReLU(shared_axes=shared_axes, name=name)
    if activation == "dice":
        return Dice(name=name)
    return keras.layers.Activation(activation, name=name)
