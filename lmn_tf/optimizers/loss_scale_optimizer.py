"""Loss scaling for sparse gradients."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.collectives import replica_count, sum_over_replicas
from lmn_tf.optimizers.sharded_variable_mixin import ShardedVariableMixin


@keras.saving.register_keras_serializable(package="lmn_tf")
class LossScaleOptimizer(ShardedVariableMixin, keras.optimizers.LossScaleOptimizer):
    """Dynamic loss scaling as in Keras, at the cost of the rows read instead of the whole table.

    Before each step, loss scaling checks for infinite and NaN gradients, for which Keras converts
    a sparse gradient to a dense one. This optimizer checks the rows of the sparse gradient. A
    model compiled with it is not wrapped again.

    Args:
        inner_optimizer: The `keras.optimizers.Optimizer` to wrap.
        initial_scale: Float. Defaults to `32768.0`.
        dynamic_growth_steps: Integer. Steps without overflow before the scale doubles. Defaults
            to `2000`.
        name: String. Defaults to `"loss_scale_optimizer"`.
        **kwargs: As in Keras.

    Example:

    >>> optimizer = LossScaleOptimizer(keras.optimizers.SGD(0.5), initial_scale=4.0)
    >>> table = keras.Variable([[1.0], [1.0]], name="embeddings")
    >>> part = tf.IndexedSlices(tf.constant([[4.0]]), tf.constant([1]), tf.constant([2, 1]))
    >>> optimizer.apply([part], [table])
    >>> table.numpy().tolist()
    [[1.0], [0.5]]
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer,
        initial_scale: float = 32768.0,
        dynamic_growth_steps: int = 2000,
        name: str = "loss_scale_optimizer",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            inner_optimizer,
            initial_scale=initial_scale,
            dynamic_growth_steps=dynamic_growth_steps,
            name=name,
            **kwargs,
        )

    def check_finite(self, grads: list[tf.Tensor | tf.IndexedSlices | None]) -> tf.Tensor:
        """Returns whether all entries of all gradients are finite, on all replicas."""
        parts = [g.values if isinstance(g, tf.IndexedSlices) else g for g in grads]
        finite = [tf.reduce_all(tf.math.is_finite(part)) for part in parts if part is not None]
        finite = tf.reduce_all(tf.stack(finite))
        if replica_count() == 1:
            return finite
        # Gradients are not summed yet, and Keras checks the first replica only.
        return tf.equal(sum_over_replicas(tf.cast(finite, tf.float32)), float(replica_count()))


def with_loss_scaling(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Wraps an optimizer as Keras does, but keeps the gradients of tables sparse.

    Args:
        optimizer: `keras.optimizers.Optimizer`.

    Returns:
        A `LossScaleOptimizer`, or the given optimizer if it already scales losses.

    Example:

    >>> type(with_loss_scaling(keras.optimizers.SGD(0.5))).__name__
    'LossScaleOptimizer'
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    return LossScaleOptimizer(optimizer)
