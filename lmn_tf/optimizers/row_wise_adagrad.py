"""Adagrad with one accumulator a row, which touches only the rows that were read."""

import keras
import tensorflow as tf

from lmn_tf.optimizers.sparse_gradient import merge_gradient


@keras.saving.register_keras_serializable(package="lmn_tf")
class RowWiseAdagrad(keras.optimizers.Optimizer):
    """Adagrad with one accumulator for each row of a table, updating only the rows that were read.

    With `g` the gradient of one row, summed over every time that the row was read in the batch:
    `accumulator += mean(g ** 2)`, then `row -= learning_rate * g / (sqrt(accumulator) + epsilon)`.
    A step costs time in proportion to the rows read, not to the table, and every other row (and
    its accumulator) keeps its bits. Dense gradients take the same formula on all rows; a variable
    of rank 1 counts as rows of one element, which makes it plain Adagrad.

    Clipping (`clipnorm`, `global_clipnorm`, `clipvalue`) sees the merged rows, after the sum over
    replicas: a row read twice counts with its total gradient, and two replicas clip as one would.
    `use_ema` and `gradient_accumulation_steps` work, but touch the whole table at each step.

    Args:
        learning_rate: Float, a `keras.optimizers.schedules.LearningRateSchedule`, or a callable.
            Defaults to `0.05`.
        initial_accumulator_value: Float, zero or more. What each accumulator starts from: the
            larger, the smaller the first steps. Defaults to `0.0`.
        epsilon: Float above zero. Added to the root, so that it bounds the step of a row whose
            gradients are tiny. Defaults to `1e-8`.
        name: String. Defaults to `"row_wise_adagrad"`.
        **kwargs: Base optimizer arguments, except `weight_decay`, which would move rows that
            were not read.

    Raises:
        ValueError: If `initial_accumulator_value` is negative, `epsilon` is not positive, or
            `weight_decay` is given.

    Example:

    >>> table = keras.Variable(np.ones((3, 2)), name="embeddings")
    >>> gradient = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([1, 1]), tf.constant([3, 2]))
    >>> RowWiseAdagrad(0.5).apply([gradient], [table])
    >>> table.numpy().tolist()
    [[1.0, 1.0], [0.5, 0.5], [1.0, 1.0]]

    Reference:
        Duchi et al. 2011, "Adaptive subgradient methods", figure 1; one accumulator a row as the
        exact row-wise Adagrad of FBGEMM (`EXACT_ROWWISE_ADAGRAD`), whose defaults we share.
    """

    def __init__(
        self,
        learning_rate=0.05,
        initial_accumulator_value=0.0,
        epsilon=1e-8,
        name="row_wise_adagrad",
        **kwargs,
    ):
        if kwargs.get("weight_decay") is not None:
            raise ValueError(
                "`weight_decay` must be None: it would move rows that were not read. "
                f"Received: weight_decay={kwargs['weight_decay']}"
            )
        if initial_accumulator_value < 0:
            raise ValueError(
                "`initial_accumulator_value` must be zero or more. "
                f"Received: initial_accumulator_value={initial_accumulator_value}"
            )
        if not epsilon > 0:
            raise ValueError(f"`epsilon` must be above zero. Received: epsilon={epsilon}")
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def build(self, variables):
        """Creates one accumulator a row for each of `variables`."""
        if self.built:
            return
        super().build(variables)
        self._accumulators = [self._add_accumulator(variable) for variable in variables]

    def _add_accumulator(self, variable):
        resource = variable.value if isinstance(variable, keras.Variable) else variable
        path = getattr(variable, "path", variable.name).replace("/", "_").replace(":", "_")
        with tf.distribute.get_strategy().extended.colocate_vars_with(resource):
            return self.add_variable(
                shape=tuple(variable.shape)[:1],
                initializer=keras.initializers.Constant(self.initial_accumulator_value),
                dtype="float32",
                name=f"{path}_accumulator",
            )

    def _clip_gradients(self, grads):
        # Keras would clip here, each replica on its own; see `_backend_update_step`.
        if self.gradient_accumulation_steps:
            return self._clip_merged([merge_gradient(gradient) for gradient in grads])
        return grads

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        # Same flow as Keras' own, with the merge and the clip between the sum over replicas and
        # the update: duplicates also arise between replicas.
        variables = [
            variable.value if isinstance(variable, keras.Variable) else variable
            for variable in trainable_variables
        ]
        summed = self._all_reduce_sum_gradients(list(zip(grads, variables, strict=True)))
        grads = self._clip_merged([merge_gradient(gradient) for gradient, _ in summed])
        tf.__internal__.distribute.interim.maybe_merge_call(
            self._update_all,
            self._distribution_strategy,
            list(zip(grads, variables, strict=True)),
            learning_rate,
        )

    def _update_all(self, distribution, grads_and_variables, learning_rate):
        for gradient, variable in grads_and_variables:
            distribution.extended.update(
                variable,
                lambda variable, gradient, rate: self._update(gradient, variable, rate),
                args=(gradient, learning_rate),
                group=False,
            )

    def _clip_merged(self, grads):
        if self.clipvalue is not None and self.clipvalue > 0:
            low, high = -self.clipvalue, self.clipvalue
            return [_map_values(g, lambda v: tf.clip_by_value(v, low, high)) for g in grads]
        if self.clipnorm is not None and self.clipnorm > 0:
            return [_scale_to_norm(g, self.clipnorm, _square_sum(g)) for g in grads]
        if self.global_clipnorm is not None and self.global_clipnorm > 0:
            total = tf.add_n([_square_sum(g) for g in grads if g is not None])
            return [_scale_to_norm(g, self.global_clipnorm, total) for g in grads]
        return grads

    def update_step(self, gradient, variable, learning_rate):
        """Applies one gradient, sparse or dense, to one variable.

        Args:
            gradient: `tf.IndexedSlices`, or a tensor shaped like `variable`.
            variable: The `keras.Variable` or `tf.Variable` to update.
            learning_rate: Scalar.
        """
        self._update(merge_gradient(gradient), variable, learning_rate)

    def _update(self, gradient, variable, learning_rate):
        accumulator = self._accumulators[self._get_variable_index(variable)].value
        variable = variable.value if isinstance(variable, keras.Variable) else variable
        rate = tf.cast(learning_rate, accumulator.dtype)
        if not isinstance(gradient, tf.IndexedSlices):
            gradient = tf.cast(gradient, accumulator.dtype)
            accumulator.assign_add(_row_mean_square(gradient))
            step = gradient * _over_rows(self._scale(accumulator, rate), gradient)
            variable.assign_sub(tf.cast(step, variable.dtype))
            return
        rows = tf.cast(gradient.values, accumulator.dtype)
        ids = gradient.indices
        sums = tf.gather(accumulator, ids) + _row_mean_square(rows)
        accumulator.scatter_update(tf.IndexedSlices(sums, ids))
        step = tf.cast(rows * _over_rows(self._scale(sums, rate), rows), variable.dtype)
        # Rows are distinct, so read, subtract, write is `scatter_sub`, which TensorFlow's CPU
        # kernel does on one core and several times slower.
        variable.scatter_update(tf.IndexedSlices(tf.gather(variable, ids) - step, ids))

    def _scale(self, sums, rate):
        return rate / (tf.sqrt(sums) + self.epsilon)

    def get_config(self):
        config = super().get_config()
        config["initial_accumulator_value"] = self.initial_accumulator_value
        config["epsilon"] = self.epsilon
        return config


def _row_mean_square(rows):
    axes = list(range(1, rows.shape.rank))
    return tf.reduce_mean(tf.square(rows), axis=axes) if axes else tf.square(rows)


def _over_rows(scale, rows):
    """Gives `scale`, one number a row, the rank of `rows`."""
    for _ in range(rows.shape.rank - scale.shape.rank):
        scale = scale[..., tf.newaxis]
    return scale


def _map_values(gradient, function):
    if gradient is None:
        return None
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(function(gradient.values), gradient.indices, gradient.dense_shape)
    return function(gradient)


def _square_sum(gradient):
    if gradient is None:
        return tf.constant(0.0)
    values = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
    return tf.reduce_sum(tf.square(tf.cast(values, tf.float32)))


def _scale_to_norm(gradient, norm, square_sum):
    # A NaN or infinite norm makes the scale NaN, as in Keras: a broken gradient stays visible.
    scale = norm / tf.maximum(tf.sqrt(square_sum), norm) + (square_sum - square_sum)
    return _map_values(gradient, lambda values: values * tf.cast(scale, values.dtype))
