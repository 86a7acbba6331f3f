"""Tables with one optimizer, everything else with another."""

import keras
import tensorflow as tf

from lmn_tf.distribute.collectives import replica_count
from lmn_tf.keras_internals import add_inner_optimizer, clipped_gradients, trained_variables
from lmn_tf.optimizers.row_optimizer import RowOptimizer
from lmn_tf.optimizers.sharded_variable_mixin import ShardedVariableMixin
from lmn_tf.optimizers.sparse_gradient import merge_gradient

TABLE_NAMES = ("embeddings", "memory_values")


def is_table(variable):
    """Returns whether `variable` is a table whose rows are read by id.

    Goes by name: true where the last part of the variable's path ends with `"embeddings"` (the
    name that Keras and this package give to embedding tables) or with `"memory_values"` (the
    value table of a large memory). Memory keys are not tables: every query scores all of them.

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


def _times(gradient, factor):
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values * factor, gradient.indices, gradient.dense_shape)
    return gradient * factor


def _path(variable):
    return getattr(variable, "path", None) or variable.name


@keras.saving.register_keras_serializable(package="lmn_tf")
class GroupOptimizer(ShardedVariableMixin, keras.optimizers.MultiOptimizer):
    """Trains the tables of a model with one optimizer and all other variables with another.

    Each group keeps its own learning rate, schedule, state and clipping: `global_clipnorm` of an
    optimizer counts its own variables only. Sparse gradients are merged (parts that meet in one
    row are added up) before either optimizer sees them, because the optimizers of Keras square
    and clip the parts. `learning_rate` reads and sets the rate of `dense`, for callbacks that know
    of one rate only; `tables.learning_rate` is the other one, and `optimizers` lists all.

    Under a strategy with several replicas, gradients are clipped after the sum over replicas, as
    one device would. The optimizers of Keras see rows that two replicas read as two parts; a
    `RowOptimizer` does not.

    Args:
        dense: A `keras.optimizers.Optimizer` for every variable that is not a table.
        tables: A `keras.optimizers.Optimizer` for the variables that `is_table` names.
        named: Dictionary from the name of one table to its own `keras.optimizers.Optimizer`. A
            table's name is that of the layer that holds it: `"item"` names the variable
            `feature_encoder/item/embeddings`, and neither `item/title/embeddings` nor
            `my_item/embeddings`. More of the path tells layers of one name apart:
            `"feature_encoder/item"`; the longest name that fits wins. Defaults to `None`.
        loss_scale_factor: Float or `None`. As in Keras. Defaults to `None`.
        name: String. Defaults to `"group_optimizer"`.

    Example:

    >>> optimizer = GroupOptimizer(keras.optimizers.Adam(1e-3), keras.optimizers.SGD(0.1))
    >>> table = keras.Variable([[1.0]], name="embeddings")
    >>> kernel = keras.Variable([1.0], name="kernel")
    >>> optimizer.apply([tf.constant([[1.0]]), tf.constant([1.0])], [table, kernel])
    >>> round(float(table.numpy()[0, 0]), 3), round(float(kernel.numpy()[0]), 3)
    (0.9, 0.999)
    """

    def __init__(self, dense, tables, named=None, loss_scale_factor=None, name="group_optimizer"):
        dense, tables = keras.optimizers.get(dense), keras.optimizers.get(tables)
        named = {key: keras.optimizers.get(value) for key, value in (named or {}).items()}

        def choose(variable):
            if not is_table(variable):
                return dense
            layer = "/" + _path(variable).rpartition("/")[0]
            fitting = [key for key in named if layer.endswith(f"/{key}")]
            return named[max(fitting, key=len)] if fitting else tables

        super().__init__(choose, loss_scale_factor=loss_scale_factor, name=name)
        # In a fixed order, so that the weights of a checkpoint do not depend on which kind of
        # variable a model happens to create first.
        for optimizer in (dense, tables, *(named[key] for key in sorted(named))):
            if optimizer not in self.optimizers:
                optimizer.loss_scale_factor = loss_scale_factor
                add_inner_optimizer(self, optimizer)
        self._choose = choose
        self.dense = dense
        self.tables = tables
        self.named = named

    def apply(self, grads, trainable_variables=None):
        """Applies gradients, each by the optimizer of its variable."""
        variables = trained_variables(self) if trainable_variables is None else trainable_variables
        if len(variables) == len(grads):  # else Keras says what is wrong
            # Row optimizers merge on their own, and later: after the sum over replicas.
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
        """Clips sums over replicas where an optimizer of Keras would clip what it adds up later.

        Each replica then holds its share of the clipped sum, which is no longer to be clipped.
        """
        grads, replicas = list(grads), replica_count()
        for optimizer in self.optimizers:
            places = [
                index
                for index, variable in enumerate(variables)
                if grads[index] is not None and self._choose(variable) is optimizer
            ]
            clips = optimizer.clipnorm or optimizer.global_clipnorm or optimizer.clipvalue
            if isinstance(optimizer, RowOptimizer) or not clips or not places:
                continue
            scale = optimizer.loss_scale_factor or 1.0
            own = [_times(grads[index], 1.0 / scale) for index in places]
            summed = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, own)
            clipped = clipped_gradients(optimizer, [merge_gradient(one) for one in summed])
            for index, gradient in zip(places, clipped, strict=True):
                grads[index] = _times(gradient, scale / replicas)
        return grads

    @property
    def learning_rate(self):
        """The learning rate of `dense`."""
        return self.dense.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self.dense.learning_rate = value

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "dense": serialize(self.dense),
            "tables": serialize(self.tables),
            "named": {key: serialize(value) for key, value in self.named.items()},
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
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
