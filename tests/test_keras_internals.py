"""What the package assumes of the private parts of Keras and TensorFlow."""

import inspect
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf import keras_internals
from lmn_tf.keras_internals import HOOKS
from lmn_tf.keras_registry import load_classes

HISTORY = np.array([[[1.0], [0.0]], [[2.0], [3.0]]], "float32")
FEATURES, LABELS = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")


def parts(*rows):
    """A sparse gradient of a table of three rows and one column."""
    return tf.IndexedSlices(tf.ones((len(rows), 1)), tf.constant(rows), tf.constant([3, 1]))


def compiled(**arguments):
    """A small model, neither built nor called."""
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True, **arguments)
    return model


@pytest.mark.parametrize("hook", HOOKS, ids=[hook.name for hook in HOOKS])
def test_keras_has_each_hook_with_the_arguments_that_are_overridden(hook):
    owner = keras
    for part in hook.owner.split(".")[1:]:
        owner = getattr(owner, part)
    signature = inspect.signature(getattr(owner, hook.name))
    assert tuple(signature.parameters) == ("self", *hook.arguments)
    assert hook.reason.endswith(".") and "Without it: " in hook.reason


def subclasses(kind):
    for found in kind.__subclasses__():
        yield found
        yield from subclasses(found)


def is_ours(kind):
    return kind.__module__.startswith("lmn_tf.")


def test_no_other_private_method_of_keras_is_overridden():
    load_classes()
    kinds = (keras.layers.Layer, keras.Variable, keras.optimizers.Optimizer, keras.metrics.Metric)
    kinds += keras.losses.Loss, keras.callbacks.Callback, keras.StatelessScope
    found = {}
    for kind in {one for base in kinds for one in subclasses(base) if is_ours(one)}:
        foreign = {name for base in kind.__mro__ if not is_ours(base) for name in vars(base)}
        for base in filter(is_ours, kind.__mro__):
            for name in foreign & set(vars(base)):
                if name.startswith("_") and not name.endswith("__"):
                    found.setdefault(name, []).append(base.__name__)
    generated = {"_tracker", "_obj_type", "_abc_impl", "_keras_api_names", "_keras_api_names_v1"}
    assert set(found) - generated == {hook.name for hook in HOOKS}


def test_keras_calls_the_hooks_of_an_optimizer():
    calls = []

    class Noted(keras.optimizers.SGD):
        def _clip_gradients(self, grads):
            calls.append("clip")
            return super()._clip_gradients(grads)

        def _apply_weight_decay(self, variables):
            calls.append("decay")

        def _backend_update_step(self, grads, trainable_variables, learning_rate):
            calls.append("update")
            super()._backend_update_step(grads, trainable_variables, learning_rate)

        def _var_key(self, variable):
            calls.append("key")
            return super()._var_key(variable)

    variable = keras.Variable([1.0])
    Noted(0.5, weight_decay=0.1).apply([tf.constant([1.0])], [variable])
    assert [call for call in calls if call != "key"] == ["clip", "decay", "update"]
    assert "key" in calls and variable.numpy().tolist() == [0.5]


def test_keras_calls_the_hook_of_a_variable():
    class Twice(keras.Variable):
        def _initialize_with_initializer(self, initializer):
            value = tf.Variable(2.0 * initializer(self.shape, dtype="float32"))
            keras_internals.set_tf_variable(self, value)

    assert Twice(keras.initializers.Ones(), shape=(2,)).numpy().tolist() == [2.0, 2.0]


def test_keras_calls_the_hook_of_a_model():
    calls = []

    class Noted(keras.Model):
        def _maybe_symbolic_build(self, iterator=None, data_batch=None):
            calls.append(data_batch is not None)

        def call(self, x):
            return x

    model = Noted()
    model.compile(loss="mse", run_eagerly=True)
    model.test_on_batch(FEATURES, FEATURES)
    model.evaluate(FEATURES, FEATURES, verbose=0)
    assert calls == [True, False]


def test_modules_that_trace_what_they_save():
    saving, exports = keras_internals.SAVING_MODULES
    assert tf.saved_model.save.__module__ == saving
    assert keras.export.ExportArchive.__module__.startswith(exports)


def test_replace_registered_objects():
    module = sys.modules[keras_internals.REGISTRATION_MODULE]
    assert keras.saving.get_custom_objects() is module.GLOBAL_CUSTOM_OBJECTS

    class Kind(dict):
        pass

    other = types.SimpleNamespace(GLOBAL_CUSTOM_OBJECTS={"a": len})
    keras_internals.replace_registered_objects(other, Kind)
    made = other.GLOBAL_CUSTOM_OBJECTS
    keras_internals.replace_registered_objects(other, Kind)
    assert other.GLOBAL_CUSTOM_OBJECTS is made and type(made) is Kind and made == {"a": len}


def test_keras_attaches_masks_and_fills_them_in_for_single_tensors_only():
    history = keras.layers.Masking()(HISTORY)
    mask = keras_internals.keras_mask(history)
    assert mask.numpy().tolist() == [[True, False], [True, True]]
    assert keras_internals.keras_mask(HISTORY) is None

    class Attention(keras.layers.Layer):
        supports_masking = True

        def call(self, history, target=None, mask=None):
            self.given, self.attached = mask, keras_internals.keras_mask(history)
            return history

    layer = Attention()
    layer(history)
    assert layer.given is mask
    layer(history, tf.ones((2, 1)))
    assert layer.given is None and layer.attached is mask


def test_all_layers_are_those_at_any_depth():
    shared = keras.layers.Dense(1)
    inner = keras.Sequential([shared])
    model = keras.Sequential([inner, shared])
    assert keras_internals.all_layers(model) == [model, inner, shared]


class Outer(keras.layers.Layer):
    """Two variables of its own, and two of a layer within it."""

    def build(self, shape):
        self.fixed = self.add_weight((1,), trainable=False, name="fixed")
        self.scale = self.add_weight((1,), name="scale")
        self.dense = keras.layers.Dense(1)
        self.dense.build(shape)


def test_own_variables_are_those_that_are_saved_with_the_layer():
    layer = Outer()
    layer.build((None, 2))
    assert keras_internals.own_variables(layer) == [layer.scale, layer.fixed]
    store = {}
    layer.save_own_variables(store)
    assert sorted(store) == ["0", "1"]
    keras_internals.check_stored_variables(layer, store)
    with pytest.raises(ValueError, match="expected 2 variables, but received 1"):
        keras_internals.check_stored_variables(layer, {"0": store["0"]})


@pytest.mark.parametrize("kind", [keras.layers.Layer, keras.optimizers.SGD])
def test_tracked_variables_are_listed(kind):
    owner, variable = kind(), keras.Variable([1.0])
    keras_internals.track_variable(owner, variable)
    assert owner.variables[-1] is variable


def test_losses_are_cleared_at_any_depth():
    layer = keras.layers.ActivityRegularization(l2=1.0)
    model = keras.Sequential([layer])
    model(FEATURES)
    assert len(model.losses) == 1
    keras_internals.clear_losses(model)
    assert model.losses == []


def test_the_calling_layer_is_the_outermost_one():
    called = []

    class Inner(keras.layers.Layer):
        def call(self, inputs):
            called.append(keras_internals.calling_layer())
            return inputs

    class Outer(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def call(self, inputs):
            return self.inner(inputs)

    outer = Outer()
    outer(np.ones((1, 2)))
    assert called[-1] is outer and keras_internals.calling_layer() is None


def test_strategies_of_models_and_optimizers_are_those_they_were_created_in():
    strategy = replicas(1)
    with strategy.scope():
        model, optimizer = keras.Sequential(), keras.optimizers.SGD()
        other = keras_internals.strategy_of_model(object())
    assert keras_internals.strategy_of_model(model) is strategy
    assert keras_internals.strategy_of_optimizer(optimizer) is strategy
    assert keras_internals.strategy_of_model(keras.Sequential()) is other is None
    assert not tf.distribute.has_strategy()
    assert keras_internals.strategy_of_optimizer(keras.optimizers.SGD()) is not strategy


def test_symbolic_build_builds_the_model_its_metrics_and_its_optimizer():
    model = compiled(metrics=["mae"])
    signature = tf.TensorSpec((None, 2)), tf.TensorSpec((None, 1))
    keras_internals.symbolic_build(model, signature)
    assert model.built and model.optimizer.built
    assert keras_internals.compiled_metrics(model).built
    assert [tuple(variable.shape) for variable in model.variables] == [(2, 1), (1,)]


def test_loss_of_step_knows_how_compute_loss_is_called():
    class Without(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            return ("without", y)

    class With(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return ("with", y, training)

    arguments = {"x": 1, "y": 2, "y_pred": 3, "sample_weight": None, "training": False}
    assert keras_internals.loss_of_step(Without(), **arguments) == ("without", 2)
    assert keras_internals.loss_of_step(With(), **arguments) == ("with", 2, False)


def test_loss_tracker_and_compiled_metrics_are_among_those_of_the_model():
    model = compiled(metrics=["mae"])
    loss = model.train_on_batch(FEATURES, LABELS)[0]
    tracker, metrics = model.metrics
    assert keras_internals.loss_tracker(model) is tracker and tracker.name == "loss"
    assert keras_internals.compiled_metrics(model) is metrics
    np.testing.assert_allclose(tracker.result(), loss)
    assert keras_internals.compiled_metrics(compiled()) is None


def test_added_losses_are_divided_by_the_number_of_replicas():
    strategy = replicas(2)
    with strategy.scope():
        model = compiled()
    scaled = strategy.run(lambda: keras_internals.scaled_loss(model, tf.constant(6.0)))
    assert [float(one) for one in strategy.experimental_local_results(scaled)] == [3.0, 3.0]
    assert float(keras_internals.scaled_loss(compiled(), tf.constant(6.0))) == 6.0


def test_fit_tells_evaluate_that_it_calls():
    found = []

    class Noted(keras.Sequential):
        def evaluate(self, *args, **kwargs):
            found.append(keras_internals.is_validation(kwargs))
            return super().evaluate(*args, **kwargs)

    model = Noted([keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(FEATURES, LABELS, validation_data=(FEATURES, LABELS), verbose=0)
    model.evaluate(FEATURES, LABELS, verbose=0)
    assert found == [True, False]


def test_optimizers_know_what_they_were_built_for():
    table, kernel = keras.Variable(np.ones((3, 1)), name="table"), keras.Variable([1.0], name="k")
    optimizer = keras.optimizers.SGD(weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["table"])
    optimizer.build([table, kernel])
    trained = keras_internals.trained_variables(optimizer)
    assert [id(one) for one in trained] == [id(table), id(kernel)]
    assert keras_internals.variable_index(optimizer, kernel) == 1
    assert keras_internals.variable_index(optimizer, kernel.value) == 1
    assert not keras_internals.is_decayed(optimizer, table)
    assert keras_internals.is_decayed(optimizer, kernel)


def test_moving_averages_are_those_of_trained_variables():
    variables = [keras.Variable([1.0], name="a"), keras.Variable([2.0], name="b")]
    optimizer = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    optimizer.build(variables)
    for _ in range(2):
        optimizer.apply([tf.constant([1.0]), tf.constant([-1.0])], variables)
    pairs = keras_internals.moving_averages(optimizer)
    assert [id(variable) for variable, _ in pairs] == [id(one) for one in variables]
    assert [average.numpy().tolist() for _, average in pairs] == [[-0.5], [3.5]]
    assert all(average in optimizer.variables for _, average in pairs)
    plain = keras.optimizers.SGD(1.0)
    plain.build(variables)
    assert keras_internals.moving_averages(plain) == []


def test_gradients_are_clipped_by_the_arguments_of_an_optimizer():
    optimizer = keras.optimizers.SGD(global_clipnorm=1.0)
    dense, missing, sparse = keras_internals.clipped_gradients(
        optimizer, [tf.constant([1.0, 1.0]), None, parts(0, 2)]
    )
    assert missing is None and dense.numpy().tolist() == [0.5, 0.5]
    assert tf.convert_to_tensor(sparse).numpy().tolist() == [[0.5], [0.0], [0.5]]


def test_gradients_are_summed_over_replicas():
    strategy = replicas(2)
    with strategy.scope():
        optimizer = keras.optimizers.SGD()

    def step():
        pairs = [(tf.constant(2.0), "a"), (parts(1), "b")]
        (first, _), (second, name) = keras_internals.summed_gradients(optimizer, pairs)
        return first, second.indices, tf.constant(name)

    first, indices, name = strategy.run(step)
    assert float(strategy.experimental_local_results(first)[0]) == 4.0
    assert strategy.experimental_local_results(indices)[0].numpy().tolist() == [1, 1]
    assert strategy.experimental_local_results(name)[0] == b"b"


def test_inner_optimizers_keep_the_order_in_which_they_were_added():
    first, second = keras.optimizers.SGD(0.5), keras.optimizers.SGD(0.25)
    optimizer = keras.optimizers.MultiOptimizer(lambda variable: second)
    keras_internals.add_inner_optimizer(optimizer, first)
    keras_internals.add_inner_optimizer(optimizer, second)
    variable = keras.Variable([1.0])
    optimizer.apply([tf.constant([1.0])], [variable])
    assert [one is other for one, other in zip(optimizer.optimizers, (first, second), strict=True)]
    assert len(optimizer.optimizers) == 2 and variable.numpy().tolist() == [0.75]


def test_tf_variable_is_behind_any_scope():
    variable = keras.Variable([1.0])
    with keras.StatelessScope([(variable, tf.constant([5.0]))]):
        assert float(variable.value[0]) == 5.0
        assert isinstance(keras_internals.tf_variable(variable), tf.Variable)
    other = tf.Variable([7.0])
    keras_internals.set_tf_variable(variable, other)
    variable.assign([8.0])
    assert other.numpy().tolist() == [8.0] and keras_internals.tf_variable(variable) is other


class Pieces(keras.layers.Layer):
    """Saves and loads its table by the group behind the store."""

    groups = 0

    def build(self, shape):
        self.table = self.add_weight((3, 1), "ones", name="table")

    def call(self, x):
        return x

    def save_own_variables(self, store):
        group = keras_internals.h5_group(store)
        type(self).groups += group is not None
        if group is None:
            super().save_own_variables(store)
        else:
            group.create_dataset("0", shape=(3, 1), dtype="float32")[1:] = 2.0

    def load_own_variables(self, store):
        group = keras_internals.h5_group(store)
        type(self).groups += group is not None
        self.table.assign((store if group is None else group)["0"])


def test_a_store_lets_its_group_be_written_and_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Pieces, "groups", 0)
    model = keras.Sequential([keras.Input((2,)), Pieces()])
    model.save_weights(tmp_path / "a.weights.h5")
    model.load_weights(tmp_path / "a.weights.h5")
    assert model.variables[0].numpy().tolist() == [[0.0], [2.0], [2.0]]
    assert Pieces.groups == 2
    model.save_weights(tmp_path / "a.weights.json", max_shard_size=1)
    model.load_weights(tmp_path / "a.weights.json")
    assert Pieces.groups == 2 and keras_internals.h5_group({}) is None


def test_marked_operations_are_found_in_the_graph():
    def traced(x):
        y = tf.identity(x)
        keras_internals.mark_operation(y.op, "_lmn_tf_mark")
        return y

    graph = tf.function(traced).get_concrete_function(tf.TensorSpec(())).graph
    marks = [operation for operation in graph.get_operations() if "_lmn_tf_mark" in str(operation)]
    assert [operation.get_attr("_lmn_tf_mark") for operation in marks] == [True]


def test_xla_is_seen_from_the_graph_and_from_those_within_it():
    found = {}

    def traced(name):
        def inner(x):
            found[name, "inner"] = keras_internals.is_traced_for_xla()
            return x

        def outer(x):
            found[name, "outer"] = keras_internals.is_traced_for_xla()
            return tf.cond(x > 0, lambda: inner(x), lambda: x)

        return outer

    signature = tf.TensorSpec(())
    for name, is_compiled in (("plain", False), ("xla", True)):
        tf.function(traced(name), jit_compile=is_compiled).get_concrete_function(signature)
    assert found == {
        (name, at): name == "xla" for name in ("plain", "xla") for at in ("outer", "inner")
    }


def test_a_resource_variable_is_not_replicated():
    with replicas(2).scope():
        plain, mirrored = keras_internals.resource_variable([1.0]), tf.Variable([1.0])
    assert isinstance(plain, tf.Variable) and not plain.trainable
    assert hasattr(mirrored, "values") and not hasattr(plain, "values")


def test_cluster_jobs_are_those_of_the_cluster_of_a_strategy(monkeypatch):
    kind = tf.distribute.ParameterServerStrategy
    monkeypatch.setattr(kind, "_connect_to_cluster", lambda self, coordinator_name: None)
    jobs = {"chief": ["a:1"], "ps": ["a:2", "a:3"], "worker": ["a:4"]}
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(jobs), rpc_layer="grpc"
    )
    strategy = kind(resolver)
    assert keras_internals.cluster_jobs(strategy) == jobs and strategy.cluster_resolver is None


def test_replicas_meet_in_a_merge_call():
    strategy = replicas(2)

    def total(strategy, values, factor):
        return sum(strategy.experimental_local_results(values)) * factor[0]

    def step():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        value = tf.cast(replica, tf.float32) + 1.0
        met.append(keras_internals.needs_merge_call())
        return keras_internals.merge_call(total, strategy, value, [10.0])

    met = []
    found = strategy.experimental_local_results(strategy.run(step))
    assert {float(one) for one in found} == {30.0} and met == [True, True]
