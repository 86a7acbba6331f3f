"""Checks, losses and variables that many layers share."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.collectives import replica_count, replica_id, share_of_replicas
from lmn_tf.distribute.uncast_variable import uncast_variable
from lmn_tf.keras_internals import merge_call
from lmn_tf.specs.errors import did_you_mean, nearest

TOKENS = "(batch, tokens, D)"
_REPLICA = "_lmn_tf_replica"


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Raises `ValueError` unless `value` is one of `choices`."""
    if value in choices:
        return
    known = ", ".join(f"'{choice}'" for choice in choices)
    text = f"`{name}` must be one of {known}. Received: {name}={value!r}"
    if nearest(value, choices) is not None:
        text += f".{did_you_mean(value, choices)}"
    raise ValueError(text)


def check_positive_integer(name: str, value: Any) -> None:
    """Raises `ValueError` unless `value` is an integer above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")


def check_positive_number(name: str, value: Any) -> None:
    """Raises `ValueError` unless `value` is a number above 0, which NaN is not."""
    if not value > 0:
        raise ValueError(f"`{name}` must be a positive number. Received: {name}={value}")


def check_not_negative(name: str, value: Any) -> None:
    """Raises `ValueError` unless `value` is a number from 0 on, which NaN is not."""
    if not value >= 0:
        raise ValueError(f"`{name}` must be zero or more. Received: {name}={value}")


def check_heads(units: int, num_heads: int) -> None:
    """Raises `ValueError` unless `units` is a positive multiple of `num_heads`."""
    check_positive_integer("units", units)
    check_positive_integer("num_heads", num_heads)
    if units % num_heads:
        raise ValueError(
            f"`units` must be divisible by `num_heads`. Received: units={units}, "
            f"num_heads={num_heads}"
        )


def check_hidden_units(name: str, value: Any) -> tuple[int, ...]:
    """Returns widths as a tuple; raises `ValueError` unless all are positive integers."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = (value,)
    if not isinstance(value, (tuple, list)):
        raise ValueError(f"`{name}` must be a tuple of integers. Received: {name}={value!r}")
    for units in value:
        if isinstance(units, bool) or not isinstance(units, int) or units < 1:
            raise ValueError(
                f"`{name}` must hold positive integers only. Received: {name}={tuple(value)!r}"
            )
    return tuple(value)


def check_rate(name: str, value: Any) -> None:
    """Raises `ValueError` unless `value` is in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ValueError(f"`{name}` must be at least 0 and below 1. Received: {name}={value!r}")


def check_axes(name: str, shape: tuple[int | None, ...], axes: str = "(batch, length, d)") -> None:
    """Raises `ValueError` unless an input has the documented number of axes.

    Args:
        name: String. Name of the input in the layer's `call`.
        shape: Tuple. Shape of the input.
        axes: String. The documented shape. Defaults to `"(batch, length, d)"`.

    Raises:
        ValueError: If the number of axes differs.

    Example:

    >>> check_axes("history", (32, 8))
    Traceback (most recent call last):
    ...
    ValueError: `history` must have shape (batch, length, d). Received: history.shape=(32, 8)
    """
    if len(shape) != len(axes.split(",")):
        raise ValueError(f"`{name}` must have shape {axes}. Received: {name}.shape={tuple(shape)}")


def add_replicated_loss(
    layer: keras.layers.Layer, loss: tf.Tensor, count: tf.Tensor | None = None
) -> None:
    """Adds a loss as `layer.add_loss` does, and keeps the losses of all replicas.

    Replicas are traced one after another, and control switches between them only where they
    synchronize. Keras clears the losses of a layer when a call of the model begins. Without a
    synchronization before it, the loss of one replica would be cleared when the next one begins.

    Args:
        layer: Keras layer, while it is being called.
        loss: Scalar tensor.
        count: Integer scalar tensor. Number of elements that the loss is a mean of, by which
            replicas are weighted; `None` weights them equally. Defaults to `None`.
    """
    if replica_count() > 1:
        if count is not None:
            loss *= share_of_replicas(count)  # synchronizes the replicas
        else:
            strategy = tf.distribute.get_strategy()
            merge_call(lambda strategy: None, strategy)
            loss = tf.identity(loss)
        setattr(loss, _REPLICA, replica_id())
    layer.add_loss(loss)


def add_balance_loss(layer: keras.layers.Layer, loss: tf.Tensor) -> None:
    """Adds a replica's part of a loss that is a sum over replicas; see `add_replicated_loss`.

    Args:
        layer: Keras layer, while it is being called.
        loss: Scalar tensor. The parts of all replicas add up to the loss.
    """
    # Keras divides by the number of replicas.
    add_replicated_loss(layer, loss * float(replica_count()))


def own_losses(losses: list[tf.Tensor]) -> list:
    """Drops losses that other replicas added to the same layers by `add_replicated_loss`."""
    if replica_count() == 1:
        return losses
    replica = replica_id()
    return [loss for loss in losses if getattr(loss, _REPLICA, replica) == replica]


@keras.saving.register_keras_serializable(package="lmn_tf")
class RunningMean(keras.metrics.Mean):
    """`keras.metrics.Mean` of training steps that counts correctly in a mixed-precision layer.

    Its variables are never cast; see `uncast_variable`. In bfloat16 the count would stop at 256,
    and the mean would grow without bound. Layers update it in training only, so a `CTRModel`
    leaves it out of the figures of evaluation, where it would be 0.

    Example:

    >>> mean = RunningMean(name="loss")
    >>> mean.update_state(1.0)
    >>> mean.update_state(3.0)
    >>> float(mean.result())
    2.0
    """

    def add_variable(
        self,
        shape: tuple[int | None, ...],
        initializer: Any,
        dtype: str | None = None,
        aggregation: str = "sum",
        name: str | None = None,
    ) -> keras.Variable:
        """Creates a variable that is never cast. Assigning it to an attribute tracks it."""
        return uncast_variable(shape, name, dtype, initializer, aggregation)


def name_running_means(layers: Mapping[str, keras.Layer]) -> None:
    """Puts the names of several layers before those of their `RunningMean`s.

    Logs have one figure of each name: of equal names, that of the last layer would be left.

    Args:
        layers: Mapping from a name to a layer. One alone keeps its names.
    """
    if len(layers) > 1:
        for prefix, layer in layers.items():
            for metric in layer.metrics:
                if isinstance(metric, RunningMean):
                    metric.name = f"{prefix}_{metric.name}"


def stacked_glorot(fan_in: int, fan_out: int) -> keras.initializers.Initializer:
    """Glorot uniform initializer for a stack of kernels of shape `(..., fan_in, fan_out)`.

    Keras counts the leading axes of a stack as the receptive field of a convolution, and would
    draw weights that are too small.

    Args:
        fan_in: Integer. Input width of one kernel.
        fan_out: Integer. Output width of one kernel.

    Returns:
        A Keras initializer.

    Example:

    >>> stacked_glorot(3, 3).maxval
    1.0
    """
    limit = (6.0 / (fan_in + fan_out)) ** 0.5
    return keras.initializers.RandomUniform(-limit, limit)
