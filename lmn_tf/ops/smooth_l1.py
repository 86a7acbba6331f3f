"""The Smooth-L1 distance, element by element."""

import tensorflow as tf


def smooth_l1(target, prediction, beta=1.0):
    """Smooth-L1 distance of each element.

    With `e = prediction - target`: `0.5 e**2 / beta` where `abs(e) < beta`, else
    `abs(e) - 0.5 beta`. For `beta=1` it is the Huber loss with delta 1; in
    general it is the Huber loss with delta `beta`, divided by `beta`.

    Args:
        target: Float tensor.
        prediction: Float tensor of the same shape.
        beta: Positive float. Width of the quadratic part. Defaults to `1.0`.

    Returns:
        Float tensor of the same shape.

    Raises:
        ValueError: If `beta` is not positive.

    Example:

    >>> smooth_l1([0.0, 2.0], [0.731059, 0.268941]).numpy().round(6)
    array([0.267224, 1.231059], dtype=float32)

    Reference:
        - Girshick, "Fast R-CNN", ICCV 2015, eq. 3; Lu et al., "Large Memory
          Network for Recommendation", WWW 2025, eq. 11.
    """
    if beta <= 0:
        raise ValueError(f"`beta` must be a positive number. Received: beta={beta}")
    prediction = tf.convert_to_tensor(prediction)
    error = tf.abs(prediction - tf.cast(target, prediction.dtype))
    return tf.where(error < beta, 0.5 * tf.square(error) / beta, error - 0.5 * beta)
