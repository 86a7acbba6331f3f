"""The initializer of kernels that are stacked in one weight."""

import keras


def stacked_glorot(fan_in, fan_out):
    """Glorot's uniform initializer for a stack of kernels of shape `(..., fan_in, fan_out)`.

    Keras would take the leading axes of a stack for those of a convolution, and start the weights
    too small.

    Args:
        fan_in: Integer. Width of the inputs of one kernel.
        fan_out: Integer. Width of its outputs.

    Returns:
        A Keras initializer.

    Example:

    >>> stacked_glorot(3, 3).maxval
    1.0
    """
    limit = (6.0 / (fan_in + fan_out)) ** 0.5
    return keras.initializers.RandomUniform(-limit, limit)
