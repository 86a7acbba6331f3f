"""A mean that layers keep of what passes through them."""

import keras


@keras.saving.register_keras_serializable(package="lmn_tf")
class RunningMean(keras.metrics.Mean):
    """`keras.metrics.Mean` that counts right inside a layer of mixed precision.

    Such a layer sees half-precision copies of variables, those of its metrics too: a bfloat16 count
    stops at 256, and the mean grows without end. The variables of this one are never cast.

    Example:

    >>> mean = RunningMean(name="loss")
    >>> mean.update_state(1.0)
    >>> mean.update_state(3.0)
    >>> float(mean.result())
    2.0
    """

    def add_variable(self, shape, initializer, dtype=None, aggregation="sum", name=None):
        """As `keras.metrics.Metric.add_variable`; to be kept in an attribute, which tracks it."""
        return keras.Variable(
            initializer=initializer,
            shape=shape,
            dtype=dtype,
            trainable=False,
            autocast=False,
            aggregation=aggregation,
            synchronization="on_read",
            name=name,
        )
