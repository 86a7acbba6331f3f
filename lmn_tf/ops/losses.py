"""Losses on tensors: Smooth-L1 and the score-function estimator."""

import math

import tensorflow as tf


def smooth_l1(target: tf.Tensor, prediction: tf.Tensor, beta: float = 1.0) -> tf.Tensor:
    """Smooth-L1 distance of each element.

    With `e = prediction - target`: `0.5 e**2 / beta` if `abs(e) < beta`, otherwise
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
    if not beta > 0:
        raise ValueError(f"`beta` must be a positive number. Received: beta={beta}")
    prediction = tf.convert_to_tensor(prediction)
    error = tf.abs(prediction - tf.cast(target, prediction.dtype))
    return tf.where(error < beta, 0.5 * tf.square(error) / beta, error - 0.5 * beta)


def log_loss_reward(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Rewards of rows from their log-likelihood, at most 1.

    Computes `1 - log_likelihood / log(0.5)`, averaged over the labels and clipped
    at -1: 1 for a perfect prediction, 0 for a probability of one half.

    Args:
        labels: Tensor of shape `(B, labels)` of zeros and ones.
        logits: Float tensor of the same shape.

    Returns:
        Float32 tensor of shape `(B,)`, without gradient.

    Reference:
        - Qin et al., "User Behavior Retrieval for Click-Through Rate Prediction",
          SIGIR 2020, section 3.4.
    """
    logits = tf.cast(logits, tf.float32)
    loss = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(labels, tf.float32), logits)
    reward = 1.0 - tf.reduce_mean(loss, axis=-1) / math.log(2.0)
    return tf.stop_gradient(tf.maximum(reward, -1.0))


def score_function_loss(logits: tf.Tensor, choices: tf.Tensor, advantage: tf.Tensor) -> tf.Tensor:
    """Loss whose gradient is the score-function estimate for independent choices.

    Computes `-advantage * sum(z * log(p) + (1 - z) * log(1 - p))` with
    `p = sigmoid(logits)`, for each row. Its expected gradient is that of the negative
    expected reward, for any baseline that does not depend on the choices.

    Args:
        logits: Float tensor of shape `(B, F)`.
        choices: Tensor of shape `(B, F)` of zeros and ones, drawn with
            probability `p`.
        advantage: Float tensor of shape `(B,)`: reward minus baseline, without
            gradient.

    Returns:
        Float32 tensor of shape `(B,)`.
    """
    logits = tf.cast(logits, tf.float32)
    choices = tf.stop_gradient(tf.cast(choices, tf.float32))
    surprise = tf.nn.sigmoid_cross_entropy_with_logits(choices, logits)
    return tf.stop_gradient(advantage) * tf.reduce_sum(surprise, axis=-1)
