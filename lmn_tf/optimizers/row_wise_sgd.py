"""Gradient descent for the rows that were read."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.optimizers.row_optimizer import RowOptimizer


@keras.saving.register_keras_serializable(package="lmn_tf")
class RowWiseSGD(RowOptimizer):
    """Plain gradient descent, which updates only the rows that were read.

    With `g` the gradient of one row, summed over all reads of the row in the batch:
    `row -= learning_rate * g`. There is no state. Unlike `keras.optimizers.SGD`, it trains tables
    that are split over devices or servers.

    The step of a row does not grow where the row is rare. So values that start at 0 are shrunk by
    their counts: of what the mean of its gradients asks for, a value that was read `n` times gets
    about `n / (n + κ)`, where `κ` is the batch size over the learning rate, for a loss that is a
    mean over the batch. For clipping, weight decay, moving averages and gradient accumulation, see
    `RowOptimizer`.

    Args:
        learning_rate: Float, a `keras.optimizers.schedules.LearningRateSchedule`, or a callable.
            Defaults to `1.0`.
        name: String. Defaults to `"row_wise_sgd"`.
        **kwargs: `idle_decay` and `frequency_rate` of `RowOptimizer`, and base optimizer arguments.

    Raises:
        ValueError: If `weight_decay` is negative.

    Example:

    >>> table = keras.Variable(np.ones((3, 2)), name="embeddings")
    >>> gradient = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([1, 1]), tf.constant([3, 2]))
    >>> RowWiseSGD(0.25).apply([gradient], [table])
    >>> table.numpy().tolist()
    [[1.0, 1.0], [0.5, 0.5], [1.0, 1.0]]
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | Callable = 1.0,
        name: str = "row_wise_sgd",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, epsilon=1e-8, name=name, **kwargs)  # epsilon: not used

    def state_shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], float]]:
        """Returns no state."""
        return {}

    def step_rows(
        self, gradient: tf.Tensor, state: dict[str, tf.Tensor], rate: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Computes the step of gradient descent."""
        return gradient * rate, state

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["epsilon"]
        return config
