"""Base class of optimizers that update only the rows that were read."""

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.collectives import (
    gather_over_replicas,
    sum_in_order,
    sum_over_replicas,
)
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
from lmn_tf.optimizers.row_part import RowPart
from lmn_tf.optimizers.sharded_variable_mixin import ShardedVariableMixin
from lmn_tf.optimizers.sparse_gradient import map_values, merge_gradient

_LAST_READ = "last_read"
_READS = "reads"
_MOST_READS = "most_reads"


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

    `frequency_rate` trains rare rows slower: the learning rate of a row is `learning_rate *
    log(1 + n) / log(1 + n_max)`, where `n` is the number of steps that read the row so far, this
    one included, and `n_max` the largest `n` of the table. So the row that is read most has the
    full rate, and `weight_decay` follows the rate of its row; `idle_decay` does not. It takes one
    more number per row, `reads` (shared with a subclass that has it, as `RowWiseAdam`), and one per
    table, `most_reads`: its maximum over the rows of each step, exact since counts only grow. Both
    count steps of training, not rows of the data (our choice). Of a table that is split over
    devices or servers, `n_max` is that of the whole table, for which a step exchanges one number.
    Workers of parameter servers that write it at the same time may set it back, until the row that
    is read most is read again.

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
        frequency_rate: Boolean. Whether rows that were read less often have a lower learning rate.
            Defaults to `False`.
        **kwargs: Base optimizer arguments.

    Raises:
        ValueError: If `epsilon` is not positive, `idle_decay` or `weight_decay` is negative,
            `frequency_rate` is not a boolean, or `loss_scale_factor` is given.

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
        `idle_decay` is its `alpha`. Qiu et al. 2025, "The evolution of embedding table
        optimization and multi-epoch training in Pinterest Ads Conversion", for `frequency_rate`.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | Callable,
        epsilon: float,
        idle_decay: float = 0.0,
        frequency_rate: bool = False,
        **kwargs: Any,
    ) -> None:
        if not isinstance(epsilon, (int, float)) or not epsilon > 0:
            raise ValueError(
                f"`epsilon` must be a number above zero. Received: epsilon={epsilon!r}"
            )
        check_not_negative("idle_decay", idle_decay)
        check_not_negative("weight_decay", kwargs.get("weight_decay") or 0.0)
        if not isinstance(frequency_rate, bool):
            raise ValueError(
                "`frequency_rate` must be true or false. "
                f"Received: frequency_rate={frequency_rate!r}"
            )
        if kwargs.get("loss_scale_factor") is not None:  # Keras cannot divide a sparse gradient
            raise ValueError(
                "`loss_scale_factor` must be left to `GroupOptimizer` or `LossScaleOptimizer`. "
                f"Received: loss_scale_factor={kwargs['loss_scale_factor']}"
            )
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.epsilon = epsilon
        self.idle_decay = idle_decay
        self.frequency_rate = frequency_rate

    def state_shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], float]]:
        """Returns the shapes and initial values of the state of a variable.

        Args:
            shape: Tuple, the shape of the variable.

        Returns:
            Dictionary from a name to `(shape, initial value)`. The first axis is the row axis.
            `reads`, where there is one, is the number of steps that read a row.
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
        return {
            name: self._add_slot(variable, f"{path}_{name}", shape, value)
            for name, (shape, value) in self._all_shapes(tuple(variable.shape)).items()
        }

    def _add_slot(self, variable, name, shape, value):
        near = contextlib.nullcontext()
        if not isinstance(variable, ShardedTable):
            extended = tf.distribute.get_strategy().extended
            near = extended.colocate_vars_with(_resource(variable))
        elif shape:
            with keras.name_scope(self.name):
                slot = variable.companion(shape, value, name)
            track_variable(self, slot)
            return slot
        initializer, dtype = keras.initializers.Constant(value), _state_dtype(variable)
        with near:
            return self.add_variable(shape=shape, initializer=initializer, dtype=dtype, name=name)

    def _all_shapes(self, shape):
        """Returns the state of the subclass, and that of the options of all."""
        shapes = dict(self.state_shapes(shape))
        if self.idle_decay:
            shapes[_LAST_READ] = (shape[:1], 0.0)  # the step that last read a row; 0 for none
        if self.frequency_rate:
            shapes |= {_READS: (shape[:1], 0.0), _MOST_READS: ((), 0.0)}
        return shapes

    def _check_sharded(self, variables):
        tables = [variable.path for variable in variables if isinstance(variable, ShardedTable)]
        if tables and (self.use_ema or self.gradient_accumulation_steps):
            raise ValueError(
                "`use_ema` and `gradient_accumulation_steps` must be left alone for the row-wise "
                f"table `{tables[0]}`. Received: use_ema={self.use_ema}, "
                f"gradient_accumulation_steps={self.gradient_accumulation_steps}"
            )

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
        state = dict(self.state_of(variable))
        most = state.pop(_MOST_READS, None)
        parts = self._parts(gradient, variable, state)
        if most is not None:
            most = _most_reads(parts, most.value, isinstance(variable, ShardedTable))
        decays = self.weight_decay and is_decayed(self, variable)
        for part in parts:
            with part.place():
                self._update_rows(part, learning_rate, decays, most)

    def _parts(self, gradient, variable, state):
        """Returns a `RowPart` for each device whose rows this replica updates."""
        dtype, is_shared = _state_dtype(variable), self._is_asynchronous
        if not isinstance(variable, ParameterServerTable):
            state = {name: slot.value for name, slot in state.items()}
            return [RowPart(gradient, _resource(variable), state, dtype, is_shared)]
        parts = []
        for index, (part, shard) in enumerate(
            zip(variable.split(gradient), variable.shards, strict=True)
        ):
            shards = {name: slot.shards[index] for name, slot in state.items()}
            parts.append(RowPart(part, shard, shards, dtype, is_shared, shard.device))
        return parts

    def _update_rows(self, part, learning_rate, decays, most_reads):
        dtype = part.gradient.dtype
        rate = tf.cast(learning_rate, dtype)
        step, new = self.step_rows(part.gradient, part.old, rate)
        before = part.rows()
        values = tf.cast(before, dtype)
        if decays:
            read = over_rows(part.read, values)
            step += tf.where(read, values * (rate * self.weight_decay), 0)
        if most_reads is not None:
            reads = _reads(part)
            share = tf.math.divide_no_nan(tf.math.log1p(reads), tf.math.log1p(most_reads))
            step *= over_rows(share, step)
            new = {**new, _READS: reads}
        if self.idle_decay:
            last, now = part.old[_LAST_READ], tf.cast(self.iterations + 1, dtype)
            share = tf.minimum(self.idle_decay * tf.maximum(now - last, 0), 1)
            again = over_rows(part.read & (last > 0), values)
            step += tf.where(again, values * over_rows(share, values), 0)
            new = {**new, _LAST_READ: tf.where(part.read, now, last)}
        part.write(before, tf.cast(values - step, before.dtype), new)

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
            return [map_values(g, lambda v: tf.clip_by_value(v, low, high)) for g in grads]
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
        own = {name: getattr(self, name) for name in ("epsilon", "idle_decay", "frequency_rate")}
        return {**super().get_config(), **own}


def _reads(part):
    """Returns how many steps read each row of a part, with this one."""
    return part.old[_READS] + tf.cast(part.read, part.gradient.dtype)


def _most_reads(parts, variable, is_sharded):
    """Updates and returns the reads of the row of the whole table that was read most."""
    most = []
    for part in parts:
        with part.place():
            most.append(tf.reduce_max(_reads(part)))  # below zero without rows
    most = tf.reduce_max(tf.stack(most))
    if is_sharded:
        most = tf.reduce_max(gather_over_replicas(most[tf.newaxis])[0])
    most = tf.maximum(most, tf.convert_to_tensor(variable))
    variable.assign(most)
    return most


def check_not_negative(name: str, value: float) -> None:
    """Raises `ValueError` unless `value` is zero or more."""
    if not value >= 0:
        raise ValueError(f"`{name}` must be zero or more. Received: {name}={value}")


def over_rows(scale: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Expands `scale`, one number per row, to the rank of `rows`."""
    for _ in range(rows.shape.rank - scale.shape.rank):
        scale = scale[..., tf.newaxis]
    return scale


def _resource(variable):
    return variable.value if isinstance(variable, keras.Variable) else variable


def _state_dtype(variable):
    return "float64" if tf.as_dtype(variable.dtype) == tf.float64 else "float32"


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
    return map_values(gradient, lambda values: values * tf.cast(scale, values.dtype))
