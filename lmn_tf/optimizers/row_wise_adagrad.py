"""Adagrad with one accumulator per row, for the rows that were read."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.optimizers.row_optimizer import RowOptimizer, check_not_negative, over_rows
from lmn_tf.optimizers.row_part import row_mean_square


@keras.saving.register_keras_serializable(package="lmn_tf")
class RowWiseAdagrad(RowOptimizer):
    """Adagrad with one accumulator per row, which updates only the rows that were read.

    With `g` the gradient of one row, summed over all reads of the row in the batch:
    `accumulator += mean(g ** 2)`, then `row -= learning_rate * g / (sqrt(accumulator) + epsilon)`.
    A step takes time in proportion to the rows read, not to the table; all other rows, and their
    accumulators, stay exactly the same. Dense gradients use the same formula on all rows. A
    variable of rank 1 has rows of one element, which gives plain Adagrad. For clipping, weight
    decay, moving averages and gradient accumulation, see `RowOptimizer`.

    Args:
        learning_rate: Float, a `keras.optimizers.schedules.LearningRateSchedule`, or a callable.
            Defaults to `0.05`.
        initial_accumulator_value: Float, zero or more. Initial value of the accumulators. Larger
            values make the first steps smaller. Defaults to `0.0`.
        epsilon: Float above zero. Added to the root, to bound the step of rows with tiny gradients.
            Defaults to `1e-8`.
        name: String. Defaults to `"row_wise_adagrad"`.
        **kwargs: `idle_decay` and `frequency_rate` of `RowOptimizer`, and base optimizer arguments.

    Raises:
        ValueError: If `initial_accumulator_value` or `weight_decay` is negative, or `epsilon` is
            not positive.

    Example:

    >>> table = keras.Variable(np.ones((3, 2)), name="embeddings")
    >>> gradient = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([1, 1]), tf.constant([3, 2]))
    >>> RowWiseAdagrad(0.5).apply([gradient], [table])
    >>> table.numpy().round(3).tolist()
    [[1.0, 1.0], [0.5, 0.5], [1.0, 1.0]]

    Reference:
        Duchi et al. 2011, "Adaptive subgradient methods", figure 1; one accumulator per row as in
        the exact row-wise Adagrad of FBGEMM (`EXACT_ROWWISE_ADAGRAD`), with the same defaults.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | Callable = 0.05,
        initial_accumulator_value: float = 0.0,
        epsilon: float = 1e-8,
        name: str = "row_wise_adagrad",
        **kwargs: Any,
    ) -> None:
        check_not_negative("initial_accumulator_value", initial_accumulator_value)
        super().__init__(learning_rate=learning_rate, epsilon=epsilon, name=name, **kwargs)
        self.initial_accumulator_value = initial_accumulator_value

    def state_shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], float]]:
        """Returns one accumulator per row."""
        return {"accumulator": (shape[:1], self.initial_accumulator_value)}

    def step_rows(
        self, gradient: tf.Tensor, state: dict[str, tf.Tensor], rate: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Computes the step of row-wise Adagrad."""
        accumulator = state["accumulator"] + row_mean_square(gradient)
        scale = rate / (tf.sqrt(accumulator) + self.epsilon)
        return gradient * over_rows(scale, gradient), {"accumulator": accumulator}

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["initial_accumulator_value"] = self.initial_accumulator_value
        return config
