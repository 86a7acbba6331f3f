"""The private parts of Keras and TensorFlow that this package relies on, each in one place.

None of them is promised to last: an upgrade may rename or drop any. So nothing else in the package
names them, `tests/test_keras_internals.py` checks that each is there and does what is said here,
and every entry ends with what to do without it. Neither Keras nor TensorFlow is imported before a
function is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf


# Modules that trace what they save: `tf.saved_model.save`, and Keras' exports. While they do, ops
# leave out kernels that another machine may lack. Without them: users would have to export
# inside `lmn_tf.ops.compile.plain_kernels`.
SAVING_MODULES = ("tensorflow.python.saved_model.save", "keras.src.export.")

# The module that holds the dictionary of registered classes: `replace_registered_objects`.
REGISTRATION_MODULE = "keras.src.saving.object_registration"


class Hook(NamedTuple):
    """A private method of Keras that classes of this package override.

    Args:
        owner: String. The public class that has it, such as `"keras.Model"`.
        name: String. The method.
        arguments: Tuple of strings. The names of its arguments after `self`.
        reason: String. Why it is overridden, and what to do without it.
    """

    owner: str
    name: str
    arguments: tuple[str, ...]
    reason: str


HOOKS = (
    Hook(
        "keras.Model",
        "_maybe_symbolic_build",
        ("iterator", "data_batch"),
        "Under a strategy Keras infers shapes from a first batch averaged over replicas, which "
        "boolean masks refuse; the feature spec has the shapes. Without it: build before `fit`.",
    ),
    Hook(
        "keras.Variable",
        "_initialize_with_initializer",
        ("initializer",),
        "Keras would create one `tf.Variable`; a row-wise table creates one a device. Without it: "
        "a table that is no `keras.Variable`, with its parts as weights of the layer.",
    ),
    Hook(
        "keras.optimizers.Optimizer",
        "_var_key",
        ("variable",),
        "Keras identifies a variable by its value; that of a sharded table differs from replica "
        "to replica. Without it: an own index of variables.",
    ),
    Hook(
        "keras.optimizers.Optimizer",
        "_backend_update_step",
        ("grads", "trainable_variables", "learning_rate"),
        "Rows have to be merged and clipped between the sum over replicas and the update. Without "
        "it: override `apply`.",
    ),
    Hook(
        "keras.optimizers.Optimizer",
        "_clip_gradients",
        ("grads",),
        "Keras would clip in each replica, before rows are merged. Without it: keep the clipping "
        "arguments from Keras.",
    ),
    Hook(
        "keras.optimizers.Optimizer",
        "_apply_weight_decay",
        ("variables",),
        "Keras would decay whole tables; only the rows that were read decay. Without it: keep "
        "`weight_decay` from Keras.",
    ),
)


def replace_registered_objects(module: ModuleType, kind: type[dict]) -> None:
    """Turns Keras' dictionary of registered classes and functions into one of another type.

    `keras.saving.get_custom_objects()` returns the dictionary but cannot replace it, and a plain
    one cannot load this package's classes on demand. Without it: import all classes once Keras is.

    Args:
        module: The module `REGISTRATION_MODULE`.
        kind: Subclass of `dict`. A dictionary that is one already stays.
    """
    if not isinstance(module.GLOBAL_CUSTOM_OBJECTS, kind):
        module.GLOBAL_CUSTOM_OBJECTS = kind(module.GLOBAL_CUSTOM_OBJECTS)


def keras_mask(tensor: Any) -> Any:
    """Returns the mask that Keras attached to a layer's output, or `None`.

    Keras fills in the argument `mask` of layers with a single tensor to call them with; those with
    several would have to name it `history_mask`. Without it: pass `mask` explicitly.

    Args:
        tensor: What a layer is called with; any object.
    """
    return getattr(tensor, "_keras_mask", None)


def all_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns a list of a layer or model and the layers within it, at any depth, each once.

    `keras.Model.layers` ends at the first level. Without it: a walk over attributes.

    Args:
        layer: `keras.Layer` or `keras.Model`.
    """
    return layer._flatten_layers()


def own_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns a list of the variables of a layer without those of the layers within it.

    They are what Keras hands to `save_own_variables`, in its order: trainable ones first. Without
    it: `layer.variables` less those of the layers within.

    Args:
        layer: `keras.Layer`.
    """
    return layer._trainable_variables + layer._non_trainable_variables


def check_stored_variables(layer: keras.layers.Layer, store: Any) -> None:
    """Raises `ValueError` unless a store holds as many variables as a layer owns.

    The check, with its advice, with which Keras' own `load_own_variables` begins. Without it: an
    own message.

    Args:
        layer: `keras.Layer`.
        store: What Keras passes to `load_own_variables`.
    """
    layer._check_load_own_variables(store)


def track_variable(
    owner: keras.layers.Layer | keras.optimizers.Optimizer, variable: keras.Variable
) -> None:
    """Adds a variable to those of a layer or optimizer, under its own name and at this moment.

    `add_weight` and `add_variable` create a plain `keras.Variable`; a row-wise table is created by
    its own class. Without it: an attribute of a layer is tracked by itself; an optimizer would
    have to override `variables`.

    Args:
        owner: `keras.Layer` or `keras.optimizers.Optimizer`.
        variable: `keras.Variable`.
    """
    owner._track_variable(variable)


def clear_losses(layer: keras.layers.Layer) -> None:
    """Drops the losses that the last call added to a layer and to those within it.

    Keras does so only when the next call begins, and keeps the tensors until then. Without it: a
    call that only builds could run in a `keras.StatelessScope`.

    Args:
        layer: `keras.Layer`.
    """
    layer._clear_losses()


def calling_layer() -> keras.layers.Layer | None:
    """Returns the outermost Keras layer that is being called, or `None`.

    Without it: a layer of tf-keras inside of a Keras layer would stay untrained without a word.
    """
    from keras.src.backend.common import global_state

    context = global_state.get_global_attribute("current_call_ctx")
    return None if context is None else context.entry_layer


def strategy_of_model(model: keras.Model) -> tf.distribute.Strategy | None:
    """Returns the `tf.distribute.Strategy` in whose scope a model was created, or `None`.

    `keras.Model.distribute_strategy` returns the current strategy for a model of none, and this
    package overrides it while data are each process's own. Without it: keep the strategy in the
    constructor.

    Args:
        model: `keras.Model`, which may not be constructed yet.
    """
    return getattr(model, "_distribute_strategy", None)


def symbolic_build(model: keras.Model, batch: tuple[Any, Any]) -> None:
    """Builds a model, its metrics and its optimizer from the shapes of a batch.

    `keras.Model.build` leaves metrics and the optimizer unbuilt. Without it: build the three one
    by one.

    Args:
        model: Compiled `keras.Model`.
        batch: Pair of features and labels, of which only shapes and types are read.
    """
    model._symbolic_build(data_batch=batch)


def loss_of_step(model: keras.Model, **arguments: Any) -> tf.Tensor:
    """Returns the loss that `keras.Model.train_step` would compute.

    It is `compute_loss`, for subclasses whose `compute_loss` knows no `training` as well. Without
    it: call `compute_loss`.

    Args:
        model: Compiled `keras.Model`.
        **arguments: `x`, `y`, `y_pred`, `sample_weight` and `training`.
    """
    return model._compute_loss(**arguments)


def loss_tracker(model: keras.Model) -> keras.metrics.Metric:
    """Returns the metric `loss` of a compiled model, which its own `train_step` has to update.

    Without it: the metric of that name among `model.metrics`.

    Args:
        model: Compiled `keras.Model`.
    """
    return model._loss_tracker


def compiled_metrics(model: keras.Model) -> keras.metrics.Metric | None:
    """Returns the metric that holds those given to `compile`, or `None` where none were.

    `model.metrics` lists it among others, by no promised name. Without it: keep what `compile` is
    given.

    Args:
        model: Compiled `keras.Model`.
    """
    return model._compile_metrics


def scaled_loss(model: keras.Model, loss: tf.Tensor) -> tf.Tensor:
    """Scales a loss that is added to that of the labels, as Keras does those of `add_loss`.

    Keras divides by the number of replicas, since their gradients are added up. Without it: divide
    by `replica_count()`.

    Args:
        model: `keras.Model`.
        loss: Scalar tensor.
    """
    return model._aggregate_additional_loss(loss)


def is_validation(arguments: dict[str, Any]) -> bool:
    """Returns whether `evaluate` was called by `fit`, whose dataset Keras has prepared already.

    Without it: a flag that `fit` sets.

    Args:
        arguments: Dictionary of the keyword arguments of `evaluate`.
    """
    return bool(arguments.get("_use_cached_eval_dataset"))


def strategy_of_optimizer(optimizer: keras.optimizers.Optimizer) -> tf.distribute.Strategy:
    """Returns the `tf.distribute.Strategy` in whose scope an optimizer was created.

    Keras updates variables by it, whatever the current one is. Without it: keep it in the
    constructor.

    Args:
        optimizer: `keras.optimizers.Optimizer`.
    """
    return optimizer._distribution_strategy


def trained_variables(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Returns a list of the variables that an optimizer was built for.

    `optimizer.variables` lists its own. Without it: keep what `build` is given.

    Args:
        optimizer: Built `keras.optimizers.Optimizer`.
    """
    return optimizer._trainable_variables


def variable_index(
    optimizer: keras.optimizers.Optimizer, variable: keras.Variable | tf.Variable
) -> int:
    """Returns the position of a variable among those that an optimizer was built for.

    Without it: an own dictionary, made in `build`.

    Args:
        optimizer: Built `keras.optimizers.Optimizer`.
        variable: `keras.Variable`, or the `tf.Variable` behind one.
    """
    return optimizer._get_variable_index(variable)


def moving_averages(
    optimizer: keras.optimizers.Optimizer,
) -> list[tuple[keras.Variable, keras.Variable]]:
    """Returns pairs of a trained variable and its moving average; none without `use_ema`.

    `finalize_variable_values` overwrites weights by their averages, and no public function reads
    them. Without it: `optimizer.variables` whose name ends in `average`, which are in the order of
    the trained variables.

    Args:
        optimizer: Built `keras.optimizers.Optimizer` that trains variables itself.
    """
    if not optimizer.use_ema:
        return []
    averages = optimizer._model_variables_moving_average
    pairs = zip(trained_variables(optimizer), averages, strict=True)
    return [pair for pair in pairs if pair[1] is not None]


def is_decayed(
    optimizer: keras.optimizers.Optimizer, variable: keras.Variable | tf.Variable
) -> bool:
    """Returns whether `exclude_from_weight_decay` left a variable to be decayed.

    Without it: override `exclude_from_weight_decay` and keep its arguments.

    Args:
        optimizer: Built `keras.optimizers.Optimizer`.
        variable: As of `variable_index`.
    """
    return optimizer._use_weight_decay(variable)


def clipped_gradients(
    optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor | tf.IndexedSlices | None]
) -> list[tf.Tensor | tf.IndexedSlices | None]:
    """Returns gradients clipped as an optimizer's arguments ask.

    Needed to clip sums over replicas, before the optimizer sees them. Without it: clip by
    `clipnorm`, `global_clipnorm` and `clipvalue`.

    Args:
        optimizer: `keras.optimizers.Optimizer`.
        gradients: List of tensors, `tf.IndexedSlices` and `None`.
    """
    return optimizer._clip_gradients(gradients)


def summed_gradients(
    optimizer: keras.optimizers.Optimizer, gradients_and_variables: Sequence[tuple[Any, Any]]
) -> list[tuple[Any, Any]]:
    """Returns pairs of gradient and variable, the gradients summed over replicas.

    Without it: `all_reduce` of the replica context.

    Args:
        optimizer: `keras.optimizers.Optimizer`.
        gradients_and_variables: List of pairs; a gradient may be `None`.
    """
    return optimizer._all_reduce_sum_gradients(gradients_and_variables)


def add_inner_optimizer(
    optimizer: keras.optimizers.Optimizer, inner: keras.optimizers.Optimizer
) -> None:
    """Adds an optimizer to a `MultiOptimizer` before any variable asks for it.

    Keras adds it when a variable is first mapped to it, so that the order in a checkpoint would
    depend on the model. Without it: name all optimizers in a dictionary of patterns.

    Args:
        optimizer: `keras.optimizers.MultiOptimizer`.
        inner: `keras.optimizers.Optimizer`.
    """
    optimizer._inner_optimizers.append(inner)


def tf_variable(variable: keras.Variable) -> Any:
    """Returns what a Keras variable holds: a `tf.Variable`, or what `set_tf_variable` put there.

    `keras.Variable.value` may be another value instead: that of a `keras.StatelessScope`, or a
    copy of lower precision. Without it: keep the `tf.Variable` where it is created.

    Args:
        variable: `keras.Variable`.
    """
    return variable._value


def set_tf_variable(variable: keras.Variable, value: tf.Variable | tuple[tf.Variable, ...]) -> None:
    """Puts another `tf.Variable` behind a Keras variable, of the same shape and type.

    For row-wise tables, and for metrics that move from servers to the coordinator. Without it: a
    subclass of `keras.Variable` with its own `value`.

    Args:
        variable: `keras.Variable`.
        value: `tf.Variable`, or a tuple of those of several devices.
    """
    variable._value = value


def h5_group(store: Any) -> Any:
    """Returns the HDF5 group behind a store that Keras saves to or loads from.

    Through it a table is written and read in pieces; a store takes and gives arrays as a whole.
    Without it: whole arrays, at the price of memory for them.

    Args:
        store: What Keras passes to `save_own_variables` and `load_own_variables`.

    Returns:
        `h5py.Group`, created if it is not there; `None` for other stores, such as that of a model
        in several files.
    """
    if type(store).__name__ != "H5IOStore" or not hasattr(store, "_h5_entry_group"):
        return None
    if not store._h5_entry_initialized:
        store._create_h5_group(store._h5_entry_path)
    return store._h5_entry_group


def mark_operation(operation: tf.Operation, name: str) -> None:
    """Gives an operation of a graph a boolean attribute, for `operation.get_attr(name)` to find.

    Ops so receive a fact about their input that tensors do not have. Without it: a set of marked
    operations for each graph.

    Args:
        operation: `tf.Operation`.
        name: String that begins with an underscore, as attributes of users must.
    """
    import tensorflow as tf

    operation._set_attr(name, tf.compat.v1.AttrValue(b=True))


def is_traced_for_xla() -> bool:
    """Returns whether the graph being traced, or one around it, is to be compiled by XLA.

    XLA needs static shapes, and no public function says that it will compile. Without it: static
    shapes everywhere.
    """
    import tensorflow as tf

    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        context = graph._get_control_flow_context()
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False


def resource_variable(value: np.ndarray | tf.Tensor) -> tf.Variable:
    """Creates a `tf.Variable` that the strategy in scope neither places nor replicates.

    `tf.Variable(...)` inside the scope of a `ParameterServerStrategy` lies on a server. Without
    it: create the variable in another thread, which has no scope.

    Args:
        value: Array.
    """
    from tensorflow.python.ops import resource_variable_ops

    return resource_variable_ops.ResourceVariable(value, trainable=False)


def cluster_jobs(strategy: tf.distribute.Strategy) -> dict[str, list[str]]:
    """Returns a dictionary from job to the addresses of its tasks.

    `strategy.cluster_resolver` is `None` for a `ParameterServerStrategy`. Without it: pass the
    resolver along with the strategy.

    Args:
        strategy: `tf.distribute.ParameterServerStrategy`.
    """
    return strategy._cluster_resolver.cluster_spec().as_dict()


def merge_call(function: Callable[..., Any], strategy: tf.distribute.Strategy, *args: Any) -> Any:
    """Calls a function of the strategy and more, once for all replicas, as Keras' optimizers do.

    The public `merge_call` of a replica context is refused in the control flow of replicas under
    strategies that need none, where this one calls the function directly. Without it: the public
    one wherever `needs_merge_call()`.

    Args:
        function: Function of `strategy` and `args`, which hold the values of all replicas.
        strategy: `tf.distribute.Strategy`.
        *args: The calling replica's values.
    """
    import tensorflow as tf

    return tf.__internal__.distribute.interim.maybe_merge_call(function, strategy, *args)


def needs_merge_call() -> bool:
    """Returns whether replicas have to meet before they update variables.

    Such an update is refused inside a conditional of one replica. Without it: assume that they
    have to.
    """
    import tensorflow as tf

    return not tf.__internal__.distribute.strategy_supports_no_merge_call()
