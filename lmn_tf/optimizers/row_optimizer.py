"""Base class of optimizers that update only the rows that were read."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.collectives import sum_in_order, sum_over_replicas
from lmn_tf.distribute.tables.parameter_server_table import ParameterServerTable
from lmn_tf.distribute.tables.sharded_slices import ShardedSlices
from lmn_tf.distribute.tables.sharded_table import ShardedTable
from lmn_tf.keras_internals import (
    is_decayed,
    merge_call,
    strategy_of_optimizer,
    summed_gradients,
    track_variable,
    variable_index,
)
from lmn_tf.optimizers.sharded_variable_mixin import ShardedVariableMixin
from lmn_tf.optimizers.sparse_gradient import merge_gradient

_LAST_READ = "last_read"


@keras.saving.register_keras_serializable(package="lmn_tf")
class RowOptimizer(ShardedVariableMixin, keras.optimizers.Optimizer):
    """Base class of optimizers that update only the rows of a table that were read.

    A step merges the gradient entries of the same row after the sum over replicas, clips the
    result, and passes each row and its state to the formula of the subclass. A row counts as read
    if the mean square of its gradient is not zero; all other rows, and their state, stay exactly
    the same. A sparse gradient (`tf.IndexedSlices`) takes time in proportion to its rows, a dense
    one in proportion to the table; both give the same update. A variable of rank 1 has rows of one
    element, and a scalar is one row.

    Clipping (`clipnorm`, `global_clipnorm`, `clipvalue`) applies to the merged rows: a row read
    twice counts with its total gradient, and two replicas clip like one device.

    `weight_decay` is decoupled and lazy: a row that was read also decays by `learning_rate *
    weight_decay`, as in AdamW; other rows do not decay. So a row decays as often as it is read
    (our choice: decay of the whole table would take time in proportion to its size).
    `exclude_from_weight_decay` is supported.

    `idle_decay` (AdamAR) decays a row by how long it was not read, so that rare rows, which learn
    single examples by heart, forget them: where the step that read a row before was `n` steps ago,
    the row decays by `min(1, idle_decay * n)`, times the row itself, before it moves. The first
    step that reads a row does not decay it (our choice: its initial values are not learned). It
    takes one more number per row, `last_read`. On parameter servers, where workers write that at
    the same time, it is approximate.

    Two parts of plain Keras still take time in proportion to the table: reading a
    `keras.layers.Embedding`, whose variable TensorFlow copies at each step after sparse updates
    (`lmn_tf.features.EmbeddingTable` reads rows only), and the `LossScaleOptimizer` that Keras
    wraps around an optimizer under `mixed_float16` (`lmn_tf.optimizers.LossScaleOptimizer` keeps
    gradients sparse; the models of this package use it automatically).

    `use_ema` and `gradient_accumulation_steps` are supported, but process the whole table at each
    step. The mean of accumulated gradients is clipped. On several replicas, accumulation and
    `ema_overwrite_frequency` are limited to eager steps: TensorFlow refuses them inside a
    `tf.function`, as for the optimizers of Keras. State is stored and computed in float32, or in
    float64 for float64 variables.

    Subclasses define `state_shapes` and `step_rows`.

    Args:
        learning_rate: Float, a `keras.optimizers.schedules.LearningRateSchedule`, or a callable.
        epsilon: Float above zero. Added to the denominator of the formula.
        idle_decay: Float, zero or more. Share of a row that decays for each step since it was read.
            Defaults to `0.0`.
        **kwargs: Base optimizer arguments.

    Raises:
        ValueError: If `epsilon` is not positive, or `idle_decay` or `weight_decay` is negative.

    Example:

    >>> class SignOfRows(RowOptimizer):
    ...     def state_shapes(self, shape):
    ...         return {}
    ...
    ...     def step_rows(self, gradient, state, rate):
    ...         return rate * tf.sign(gradient), state
    >>> table = keras.Variable(np.ones((3, 2)), name="embeddings")
    >>> gradient = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([1, 1]), tf.constant([3, 2]))
    >>> SignOfRows(0.5, epsilon=1e-8).apply([gradient], [table])
    >>> table.numpy().tolist()
    [[1.0, 1.0], [0.5, 0.5], [1.0, 1.0]]

    Reference:
        Li and Lyu 2026, "Adaptive regularization for large-scale sparse feature embedding models":
        `idle_decay` is its `alpha`.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | Callable,
        epsilon: float,
        idle_decay: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if not isinstance(epsilon, (int, float)) or not epsilon > 0:
            raise ValueError(
                f"`epsilon` must be a number above zero. Received: epsilon={epsilon!r}"
            )
        check_not_negative("idle_decay", idle_decay)
        check_not_negative("weight_decay", kwargs.get("weight_decay") or 0.0)
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.epsilon = epsilon
        self.idle_decay = idle_decay

    def state_shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], float]]:
        """Returns the shapes and initial values of the state of a variable.

        Args:
            shape: Tuple, the shape of the variable.

        Returns:
            Dictionary from a name to `(shape, initial value)`. The first axis is the row axis.
        """
        raise NotImplementedError("`state_shapes` must be defined")

    def step_rows(
        self, gradient: tf.Tensor, state: dict[str, tf.Tensor], rate: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Computes the step of the rows that were read; a pure function.

        Args:
            gradient: Tensor of shape `(rows, ...)`.
            state: Dictionary of tensors, each of shape `(rows, ...)`.
            rate: Scalar tensor.

        Returns:
            Tuple `(step, state)`: the difference to subtract from the rows, and the new state.
        """
        raise NotImplementedError("`step_rows` must be defined")

    def build(self, variables: list[keras.Variable]) -> None:
        """Creates the state of each of `variables`."""
        if self.built:
            return
        self._check_sharded(variables)
        super().build(variables)
        self._state = [self._add_state(variable) for variable in variables]

    def _add_state(self, variable):
        path = getattr(variable, "path", variable.name).replace("/", "_").replace(":", "_")
        if isinstance(variable, ShardedTable):
            return self._add_sharded_state(variable, path)
        dtype = _state_dtype(variable)
        with tf.distribute.get_strategy().extended.colocate_vars_with(_resource(variable)):
            return {
                name: self.add_variable(
                    shape=shape,
                    initializer=keras.initializers.Constant(value),
                    dtype=dtype,
                    name=f"{path}_{name}",
                )
                for name, (shape, value) in self._all_shapes(tuple(variable.shape)).items()
            }

    def _all_shapes(self, shape):
        """Returns the state of the subclass, and the step that last read a row; 0 for none."""
        own = {_LAST_READ: (shape[:1], 0.0)} if self.idle_decay else {}
        return {**self.state_shapes(shape), **own}

    def _check_sharded(self, variables):
        tables = [variable.path for variable in variables if isinstance(variable, ShardedTable)]
        if tables and (self.use_ema or self.gradient_accumulation_steps):
            raise ValueError(
                "`use_ema` and `gradient_accumulation_steps` must be left alone for the row-wise "
                f"table `{tables[0]}`. Received: use_ema={self.use_ema}, "
                f"gradient_accumulation_steps={self.gradient_accumulation_steps}"
            )

    def _add_sharded_state(self, table, path):
        state = {}
        with keras.name_scope(self.name):
            for name, (shape, value) in self._all_shapes(tuple(table.shape)).items():
                state[name] = table.companion(shape, value, f"{path}_{name}")
                track_variable(self, state[name])
        return state

    def state_of(self, variable: keras.Variable | tf.Variable) -> dict[str, keras.Variable]:
        """Returns the state of `variable`, a dictionary from name to `keras.Variable`."""
        return self._state[variable_index(self, variable)]

    def update_step(
        self,
        gradient: tf.Tensor | tf.IndexedSlices,
        variable: keras.Variable | tf.Variable,
        learning_rate: float | tf.Tensor,
    ) -> None:
        """Applies one gradient, sparse or dense, to one variable.

        Args:
            gradient: `tf.IndexedSlices`, or a tensor shaped like `variable`.
            variable: The `keras.Variable` or `tf.Variable` to update.
            learning_rate: Scalar.
        """
        self._update(merge_gradient(gradient), variable, learning_rate)

    def _update(self, gradient, variable, learning_rate):
        state = self.state_of(variable)
        decays = self.weight_decay and is_decayed(self, variable)
        if not isinstance(variable, ParameterServerTable):
            state = {name: slot.value for name, slot in state.items()}
            self._update_rows(gradient, _resource(variable), state, learning_rate, decays)
            return
        for index, part in enumerate(variable.split(gradient)):
            with tf.device(variable.shards[index].device):
                shards = {name: slot.shards[index] for name, slot in state.items()}
                self._update_rows(part, variable.shards[index], shards, learning_rate, decays)

    def _update_rows(self, gradient, variable, state, learning_rate, decays):
        dtype = tf.as_dtype(_state_dtype(variable))
        rate = tf.cast(learning_rate, dtype)
        if isinstance(gradient, tf.IndexedSlices):
            rows = _RowsRead(gradient.indices, self._is_asynchronous)
            gradient = gradient.values
        else:
            rows = _AllRows()
        gradient = tf.cast(gradient, dtype)
        old = {name: rows.read(slot) for name, slot in state.items()}
        step, new = self.step_rows(gradient, old, rate)
        before = rows.read(variable)
        values = tf.cast(before, dtype)
        if decays:
            read = over_rows(were_read(gradient), values)
            step += tf.where(read, values * (rate * self.weight_decay), 0)
        if self.idle_decay:
            read, last = were_read(gradient), old[_LAST_READ]
            now = tf.cast(self.iterations + 1, dtype)
            share = tf.minimum(self.idle_decay * tf.maximum(now - last, 0), 1)
            again = over_rows(read & (last > 0), values)
            step += tf.where(again, values * over_rows(share, values), 0)
            new = {**new, _LAST_READ: tf.where(read, now, last)}
        for name, slot in state.items():
            rows.write(slot, old[name], new[name])
        rows.write(variable, before, tf.cast(values - step, variable.dtype))

    @property
    def _is_asynchronous(self):
        return isinstance(strategy_of_optimizer(self), tf.distribute.ParameterServerStrategy)

    def _apply_weight_decay(self, variables):
        # Keras would decay the whole table here; see `_update`.
        pass

    def _clip_gradients(self, grads):
        # Keras would clip here, on each replica separately; see `_backend_update_step`.
        return grads

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        # As in Keras, but gradients are merged and clipped between the sum over replicas and the
        # update, since duplicates also arise between replicas. The gradient of a shard is already
        # summed over replicas, and updated by the replica that holds the shard.
        sharded = [isinstance(variable, ShardedTable) for variable in trainable_variables]
        pairs = [
            (gradient, variable if is_sharded else _resource(variable))
            for gradient, variable, is_sharded in zip(
                grads, trainable_variables, sharded, strict=True
            )
        ]
        mirrored = [pair for pair, is_sharded in zip(pairs, sharded, strict=True) if not is_sharded]
        summed = iter(summed_gradients(self, mirrored) if mirrored else ())
        pairs = [
            pair if is_sharded else next(summed)
            for pair, is_sharded in zip(pairs, sharded, strict=True)
        ]
        grads = self._clip_merged([merge_gradient(gradient) for gradient, _ in pairs], sharded)
        mirrored = []
        for gradient, (_, variable), is_sharded in zip(grads, pairs, sharded, strict=True):
            if is_sharded:
                self._update(gradient, variable, learning_rate)
            else:
                mirrored.append((gradient, variable))
        if mirrored:
            merge_call(self._update_all, strategy_of_optimizer(self), mirrored, learning_rate)

    def _update_all(self, distribution, grads_and_variables, learning_rate):
        for gradient, variable in grads_and_variables:
            distribution.extended.update(
                variable,
                lambda variable, gradient, rate: self._update(gradient, variable, rate),
                args=(gradient, learning_rate),
                group=False,
            )

    def _clip_merged(self, grads, sharded=None):
        sharded = sharded or [False] * len(grads)
        if self.clipvalue is not None and self.clipvalue > 0:
            low, high = -self.clipvalue, self.clipvalue
            return [_map_values(g, lambda v: tf.clip_by_value(v, low, high)) for g in grads]
        if self.clipnorm is not None and self.clipnorm > 0:
            return [
                _scale_to_norm(g, self.clipnorm, _square_sum(g, is_sharded))
                for g, is_sharded in zip(grads, sharded, strict=True)
            ]
        if self.global_clipnorm is not None and self.global_clipnorm > 0:
            pairs = zip(grads, sharded, strict=True)
            total = sum_in_order(
                [_square_sum(g, is_sharded) for g, is_sharded in pairs if g is not None]
            )
            return [_scale_to_norm(g, self.global_clipnorm, total) for g in grads]
        return grads

    def get_config(self) -> dict[str, Any]:
        own = {"epsilon": self.epsilon, "idle_decay": self.idle_decay}
        return {**super().get_config(), **own}


class _RowsRead:
    """Access to the rows of distinct `ids`; with `adds`, safe for concurrent updates."""

    def __init__(self, ids, adds):
        self.ids = ids
        self._adds = adds

    def read(self, variable):
        return tf.gather(variable, self.ids)

    def write(self, variable, before, rows):
        if self._adds:  # Overwriting rows concurrently would lose updates.
            variable.scatter_add(tf.IndexedSlices(rows - before, self.ids))
        else:
            # `scatter_sub` runs on one core, and is several times slower.
            variable.scatter_update(tf.IndexedSlices(rows, self.ids))


class _AllRows:
    """Access to whole variables."""

    def read(self, variable):
        return tf.convert_to_tensor(variable)

    def write(self, variable, before, rows):
        variable.assign(rows)


def check_not_negative(name: str, value: float) -> None:
    """Raises `ValueError` unless `value` is zero or more."""
    if not value >= 0:
        raise ValueError(f"`{name}` must be zero or more. Received: {name}={value}")


def row_mean_square(rows: tf.Tensor) -> tf.Tensor:
    """Returns the mean square of each row: one number per row."""
    axes = list(range(1, rows.shape.rank))
    return tf.reduce_mean(tf.square(rows), axis=axes) if axes else tf.square(rows)


def were_read(gradient: tf.Tensor) -> tf.Tensor:
    """Returns whether each row of a gradient counts as read; NaN counts."""
    return tf.not_equal(row_mean_square(gradient), 0)


def over_rows(scale: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Expands `scale`, one number per row, to the rank of `rows`."""
    for _ in range(rows.shape.rank - scale.shape.rank):
        scale = scale[..., tf.newaxis]
    return scale


def _resource(variable):
    return variable.value if isinstance(variable, keras.Variable) else variable


def _state_dtype(variable):
    return "float64" if tf.as_dtype(variable.dtype) == tf.float64 else "float32"


def _map_values(gradient, function):
    if gradient is None:
        return None
    if isinstance(gradient, ShardedSlices):
        return gradient.map(function)
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(function(gradient.values), gradient.indices, gradient.dense_shape)
    return function(gradient)


def _square_sum(gradient, is_shard):
    if gradient is None:
        return tf.constant(0.0)
    if isinstance(gradient, ShardedSlices):
        return gradient.sum(lambda values: tf.reduce_sum(tf.square(tf.cast(values, tf.float32))))
    values = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
    total = tf.reduce_sum(tf.square(tf.cast(values, tf.float32)))
    return sum_over_replicas(total) if is_shard else total


def _scale_to_norm(gradient, norm, square_sum):
    # A NaN or infinite norm makes the scale NaN, as in Keras: a broken gradient stays visible.
    scale = norm / tf.maximum(tf.sqrt(square_sum), norm) + (square_sum - square_sum)
    return _map_values(gradient, lambda values: values * tf.cast(scale, values.dtype))
