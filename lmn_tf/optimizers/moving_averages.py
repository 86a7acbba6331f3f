"""Moving averages in the place of weights."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from lmn_tf.keras_internals import moving_averages


@contextlib.contextmanager
def averaged_weights(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Context in which the weights are the moving averages that an optimizer keeps of them.

    With `use_ema` in an optimizer of Keras, its variables are averages in the block, and bit for
    bit the weights of training after it. (`keras.callbacks.SwapEMAWeights` swaps by additions,
    which round.) Other variables, and all before the first step, stay as they are.

    Args:
        optimizer: Built `keras.optimizers.Optimizer`, which may consist of several or be wrapped by
            loss scaling.

    Example:

    >>> weight = keras.Variable([0.0], name="kernel")
    >>> optimizer = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    >>> for _ in range(2):
    ...     optimizer.apply([tf.constant([-1.0])], [weight])
    >>> with averaged_weights(optimizer):
    ...     print(weight.numpy().tolist())
    [1.5]
    >>> weight.numpy().tolist()
    [2.0]

    Reference:
        Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging", with the
        exponential weights of `keras.optimizers.Optimizer`.
    """
    weights = [(variable, np.array(variable)) for variable, _ in _pairs(optimizer)]
    use_averages(optimizer)
    try:
        yield
    finally:
        for variable, value in weights:
            variable.assign(value)


def use_averages(optimizer: keras.optimizers.Optimizer) -> None:
    """Assigns the moving averages to the weights for good, as Keras does at the end of `fit`.

    Args:
        optimizer: As of `averaged_weights`.

    Example:

    >>> weight = keras.Variable([0.0], name="kernel")
    >>> optimizer = keras.optimizers.SGD(1.0)
    >>> optimizer.apply([tf.constant([-1.0])], [weight])
    >>> use_averages(optimizer)  # of which it keeps none
    >>> weight.numpy().tolist()
    [1.0]
    """
    for variable, average in _pairs(optimizer):
        variable.assign(np.asarray(average))


def _pairs(optimizer):
    """Returns pairs of a variable and its average, of all optimizers that have made a step."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return [
        pair
        for one in getattr(optimizer, "optimizers", [optimizer])
        # Before the first step, the averages are zeros.
        if one.use_ema and int(keras.ops.convert_to_numpy(one.iterations))
        for pair in moving_averages(one)
    ]
