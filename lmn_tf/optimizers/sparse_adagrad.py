"""Adagrad with one accumulator per element, for the rows that were read."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.optimizers.row_optimizer import RowOptimizer, check_not_negative


@keras.saving.register_keras_serializable(package="lmn_tf")
class SparseAdagrad(RowOptimizer):
    """Adagrad as in Keras, at the cost of the rows that were read.

    With `g` the gradient of one row, summed over all reads of the row in the batch:
    `accumulator += g ** 2`, then `row -= learning_rate * g / sqrt(accumulator + epsilon)`, element
    by element. Equal to `keras.optimizers.Adagrad` on the dense gradient, which takes time in
    proportion to the table; on a sparse gradient, Keras squares each entry separately. The
    accumulators take as much memory as the table; `RowWiseAdagrad` needs one per row.

    For clipping, weight decay, moving averages and gradient accumulation, see `RowOptimizer`.

    Args:
        learning_rate: Float, a `keras.optimizers.schedules.LearningRateSchedule`, or a callable.
            Defaults to `0.05` (in Keras: `0.001`).
        initial_accumulator_value: Float, zero or more. Initial value of the accumulators. Larger
            values make the first steps smaller. Defaults to `0.1`.
        epsilon: Float above zero. Added under the root. Defaults to `1e-7`.
        name: String. Defaults to `"sparse_adagrad"`.
        **kwargs: `idle_decay` and `frequency_rate` of `RowOptimizer`, and base optimizer arguments.

    Raises:
        ValueError: If `initial_accumulator_value` or `weight_decay` is negative, or `epsilon` is
            not positive.

    Example:

    >>> table = keras.Variable(np.ones((3, 2)), name="embeddings")
    >>> gradient = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([1, 1]), tf.constant([3, 2]))
    >>> SparseAdagrad(0.5, initial_accumulator_value=0.0).apply([gradient], [table])
    >>> table.numpy().round(3).tolist()
    [[1.0, 1.0], [0.5, 0.5], [1.0, 1.0]]

    Reference:
        Duchi et al. 2011, "Adaptive subgradient methods", figure 1.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | Callable = 0.05,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        name: str = "sparse_adagrad",
        **kwargs: Any,
    ) -> None:
        check_not_negative("initial_accumulator_value", initial_accumulator_value)
        super().__init__(learning_rate=learning_rate, epsilon=epsilon, name=name, **kwargs)
        self.initial_accumulator_value = initial_accumulator_value

    def state_shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], float]]:
        """Returns one accumulator per element."""
        return {"accumulator": (shape, self.initial_accumulator_value)}

    def step_rows(
        self, gradient: tf.Tensor, state: dict[str, tf.Tensor], rate: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Computes the step of Adagrad."""
        accumulator = state["accumulator"] + tf.square(gradient)
        step = gradient * rate * tf.math.rsqrt(accumulator + self.epsilon)
        return step, {"accumulator": accumulator}

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["initial_accumulator_value"] = self.initial_accumulator_value
        return config
