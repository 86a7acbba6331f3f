"""Optimizer that delegates tables and dense variables to separate optimizers."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.collectives import replica_count, replica_id
from lmn_tf.keras_internals import add_inner_optimizer, clipped_gradients, trained_variables
from lmn_tf.optimizers.row_optimizer import RowOptimizer
from lmn_tf.optimizers.sharded_variable_mixin import ShardedVariableMixin
from lmn_tf.optimizers.sparse_gradient import map_values, merge_gradient

TABLE_NAMES = ("embeddings", "memory_values")


def is_table(variable: keras.Variable | tf.Variable) -> bool:
    """Returns whether `variable` is a table whose rows are read by id.

    A variable is a table if the last part of its path ends with `"embeddings"` (the name of
    embedding tables in Keras and in this package) or with `"memory_values"` (the value table of a
    large memory). Memory keys are not tables, since every query scores all of them.

    Args:
        variable: `keras.Variable` or `tf.Variable`.

    Returns:
        Boolean.

    Example:

    >>> is_table(keras.Variable([[0.0]], name="embeddings"))
    True
    >>> is_table(keras.Variable([[0.0]], name="kernel"))
    False
    """
    return _path(variable).split("/")[-1].split(":")[0].endswith(TABLE_NAMES)


def _check_unscaled(optimizer):
    if optimizer.loss_scale_factor is not None:
        raise ValueError(
            "`loss_scale_factor` must be given to `GroupOptimizer` only. "
            f"Received: {optimizer.name}.loss_scale_factor={optimizer.loss_scale_factor}"
        )


def _share_of_replica(total):
    """Returns the share of this replica in a gradient that all replicas hold."""
    replicas = replica_count()
    if isinstance(total, tf.IndexedSlices):
        # Each row as a whole, once: the optimizers of Keras square the entries of a row one by one.
        own = slice(replica_id(), None, replicas)
        return tf.IndexedSlices(total.values[own], total.indices[own], total.dense_shape)
    return total * (1.0 / replicas)


def _path(variable):
    return getattr(variable, "path", None) or variable.name


@keras.saving.register_keras_serializable(package="lmn_tf")
class GroupOptimizer(ShardedVariableMixin, keras.optimizers.MultiOptimizer):
    """Trains the tables of a model with one optimizer and all other variables with another.

    Each group has its own learning rate, schedule, state and clipping: `global_clipnorm` of an
    optimizer covers its own variables only. Sparse gradients are merged (entries of the same row
    are summed) before an optimizer receives them, because the optimizers of Keras would square and
    clip single entries. `learning_rate` reads and sets the rate of `dense`, for callbacks that
    expect a single rate; `tables.learning_rate` is that of tables. `optimizers` lists all.

    Under a strategy with several replicas, gradients are clipped after the sum over replicas, as
    on one device. If two replicas read a row, the optimizers of Keras receive two entries of it
    where they do not clip; a `RowOptimizer` receives one.

    Args:
        dense: A `keras.optimizers.Optimizer` for every variable that is not a table.
        tables: A `keras.optimizers.Optimizer` for the variables that `is_table` selects.
        named: Dictionary from the name of one table to its own `keras.optimizers.Optimizer`. A
            table has the name of its layer: `"item"` selects the variable
            `feature_encoder/item/embeddings`, and neither `item/title/embeddings` nor
            `my_item/embeddings`. A longer part of the path distinguishes layers of the same name:
            `"feature_encoder/item"`; the longest matching name wins. Defaults to `None`.
        loss_scale_factor: Float or `None`. As in Keras, for all groups. Defaults to `None`.
        name: String. Defaults to `"group_optimizer"`.

    Raises:
        ValueError: If one of the optimizers has a `loss_scale_factor` of its own.

    Example:

    >>> optimizer = GroupOptimizer(keras.optimizers.Adam(1e-3), keras.optimizers.SGD(0.1))
    >>> table = keras.Variable([[1.0]], name="embeddings")
    >>> kernel = keras.Variable([1.0], name="kernel")
    >>> optimizer.apply([tf.constant([[1.0]]), tf.constant([1.0])], [table, kernel])
    >>> round(float(table.numpy()[0, 0]), 3), round(float(kernel.numpy()[0]), 3)
    (0.9, 0.999)
    """

    def __init__(
        self,
        dense: keras.optimizers.Optimizer,
        tables: keras.optimizers.Optimizer,
        named: dict[str, keras.optimizers.Optimizer] | None = None,
        loss_scale_factor: float | None = None,
        name: str = "group_optimizer",
    ) -> None:
        dense, tables = keras.optimizers.get(dense), keras.optimizers.get(tables)
        named = {key: keras.optimizers.get(value) for key, value in (named or {}).items()}

        def choose(variable):
            if not is_table(variable):
                return dense
            layer = "/" + _path(variable).rpartition("/")[0]
            matching = [key for key in named if layer.endswith(f"/{key}")]
            return named[max(matching, key=len)] if matching else tables

        super().__init__(choose, loss_scale_factor=loss_scale_factor, name=name)
        # In a fixed order, so that the weights of a checkpoint do not depend on the order in which
        # a model creates its variables.
        for optimizer in (dense, tables, *(named[key] for key in sorted(named))):
            if optimizer not in self.optimizers:
                _check_unscaled(optimizer)
                add_inner_optimizer(self, optimizer)
        self._choose = choose
        self.dense = dense
        self.tables = tables
        self.named = named

    def optimizer_of(self, variable: keras.Variable | tf.Variable) -> keras.optimizers.Optimizer:
        """Returns the optimizer that trains `variable`."""
        return self._choose(variable)

    def apply(
        self,
        grads: list[tf.Tensor | tf.IndexedSlices | None],
        trainable_variables: list[keras.Variable] | None = None,
    ) -> None:
        """Applies each gradient with the optimizer of its variable."""
        variables = trained_variables(self) if trainable_variables is None else trainable_variables
        if len(variables) == len(grads):  # otherwise Keras raises its own error
            if factor := self.loss_scale_factor:
                grads = [map_values(gradient, lambda values: values / factor) for gradient in grads]
            # Row optimizers merge on their own, after the sum over replicas.
            grads = [
                gradient
                if isinstance(self._choose(variable), RowOptimizer)
                else merge_gradient(gradient)
                for gradient, variable in zip(grads, variables, strict=True)
            ]
            if replica_count() > 1:
                grads = self._clip_over_replicas(grads, variables)
        super().apply(grads, trainable_variables)

    def _clip_over_replicas(self, grads, variables):
        """Clips sums over replicas for optimizers of Keras, which would clip before the sum.

        Each replica then holds its share of the clipped sum, which is not clipped again.
        """
        grads = list(grads)
        for optimizer in self.optimizers:
            indices = [
                index
                for index, variable in enumerate(variables)
                if grads[index] is not None and self._choose(variable) is optimizer
            ]
            clips = optimizer.clipnorm or optimizer.global_clipnorm or optimizer.clipvalue
            if isinstance(optimizer, RowOptimizer) or not clips or not indices:
                continue
            # One tensor for all replicas would not be summed.
            own = [map_values(grads[index], tf.identity) for index in indices]
            summed = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, own)
            clipped = clipped_gradients(optimizer, [merge_gradient(total) for total in summed])
            for index, gradient in zip(indices, clipped, strict=True):
                grads[index] = _share_of_replica(gradient)
        return grads

    @property
    def loss_scale_factor(self) -> float | None:
        """The factor of the loss, by which `apply` divides."""
        return self._factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value: float | None) -> None:
        # Keras would hand it to the optimizers of the groups, which cannot divide sparse gradients.
        self._factor = value

    @property
    def learning_rate(self) -> Any:
        """The learning rate of `dense`."""
        return self.dense.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> Any:
        self.dense.learning_rate = value

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            "dense": serialize(self.dense),
            "tables": serialize(self.tables),
            "named": {key: serialize(value) for key, value in self.named.items()},
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> GroupOptimizer:
        config = dict(config)
        for key in ("dense", "tables"):
            config[key] = keras.saving.deserialize_keras_object(
                config[key], custom_objects=custom_objects
            )
        config["named"] = {
            key: keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
            for key, value in (config.get("named") or {}).items()
        }
        return cls(**config)
