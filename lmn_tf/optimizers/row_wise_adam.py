"""Adam with one second moment per row, for the rows that were read."""

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.optimizers.row_optimizer import RowOptimizer, over_rows
from lmn_tf.optimizers.row_part import row_mean_square


@keras.saving.register_keras_serializable(package="lmn_tf")
class RowWiseAdam(RowOptimizer):
    """Lazy Adam with one second moment per row, which updates only the rows that were read.

    With `g` the gradient of one row, summed over all reads of the row in the batch, and `t` the
    number of steps that read the row:

    - `first_moment = beta_1 * first_moment + (1 - beta_1) * g`, as wide as the row;
    - `second_moment = beta_2 * second_moment + (1 - beta_2) * mean(g ** 2)`, one number;
    - `row -= learning_rate * first_moment / (1 - beta_1 ** t)
      / (sqrt(second_moment / (1 - beta_2 ** t)) + epsilon)`.

    Between the steps that read a row, neither the row nor its moments change, and `t` counts these
    steps rather than all training steps (our choice; FBGEMM counts all). With the latter, a row
    that is first read late starts from moments of zero without bias correction, and its steps are
    `(1 - beta_1 ** t) / sqrt(1 - beta_2 ** t)` times too large: 3 times at its first read, 6.5
    times at its tenth. For a row that is read at every step, both are the same.

    The second moment is averaged over the row, because rows are read as a whole. It takes one
    number per row instead of a second table, and preserves the direction of the first moment.

    `epsilon` is added to the corrected root, as in algorithm 1 of the paper; Keras adds it before
    the correction. A variable of rank 1 has rows of one element: plain Adam.

    A row whose gradient sums to zero does not count as read: it does not move by its first moment,
    whether the gradient is sparse or dense. For clipping, weight decay (as in AdamW), moving
    averages and gradient accumulation, see `RowOptimizer`.

    Args:
        learning_rate: Float, a `keras.optimizers.schedules.LearningRateSchedule`, or a callable.
            Defaults to `0.001`.
        beta_1: Float in [0, 1). Decay of the first moment. Defaults to `0.9`.
        beta_2: Float in [0, 1). Decay of the second moment. Defaults to `0.999`.
        epsilon: Float above zero. Defaults to `1e-8`.
        name: String. Defaults to `"row_wise_adam"`.
        **kwargs: `idle_decay` and `frequency_rate` of `RowOptimizer`, and base optimizer arguments.

    Raises:
        ValueError: If `beta_1` or `beta_2` is out of range, `epsilon` is not positive, or
            `weight_decay` is negative.

    Example:

    >>> table = keras.Variable(np.ones((3, 2)), name="embeddings")
    >>> gradient = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([1, 1]), tf.constant([3, 2]))
    >>> RowWiseAdam(0.5).apply([gradient], [table])
    >>> table.numpy().round(3).tolist()
    [[1.0, 1.0], [0.5, 0.5], [1.0, 1.0]]

    Reference:
        Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 1; one second
        moment per row as in FBGEMM (`PARTIAL_ROWWISE_ADAM`).
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | Callable = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        name: str = "row_wise_adam",
        **kwargs: Any,
    ) -> None:
        for key, beta in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= beta < 1:
                raise ValueError(f"`{key}` must be at least 0 and below 1. Received: {key}={beta}")
        super().__init__(learning_rate=learning_rate, epsilon=epsilon, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def state_shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], float]]:
        """Returns a first moment per element, and a second moment and a count of reads per row."""
        # The count is a float like the rest of the state. It stops at 2 ** 24, long after the bias
        # corrections have become 1.
        return {
            "first_moment": (shape, 0.0),
            "second_moment": (shape[:1], 0.0),
            "reads": (shape[:1], 0.0),
        }

    def step_rows(
        self, gradient: tf.Tensor, state: dict[str, tf.Tensor], rate: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Computes the step of row-wise Adam."""
        square = row_mean_square(gradient)
        # 0 for a row that was not read, which changes nothing; NaN counts as read.
        read = tf.cast(tf.not_equal(square, 0), square.dtype)
        reads = state["reads"] + read
        first, second = state["first_moment"], state["second_moment"]
        first += (gradient - first) * over_rows((1 - self.beta_1) * read, gradient)
        second += (square - second) * ((1 - self.beta_2) * read)
        count = tf.maximum(reads, 1.0)
        root = tf.sqrt(second / _one_minus_power(self.beta_2, count)) + self.epsilon
        scale = rate * read / (_one_minus_power(self.beta_1, count) * root)
        state = {"first_moment": first, "second_moment": second, "reads": reads}
        return first * over_rows(scale, gradient), state

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2}


def _one_minus_power(beta, count):
    """Computes `1 - beta ** count` without cancellation."""
    return -tf.math.expm1(count * math.log(beta)) if beta else tf.ones_like(count)
