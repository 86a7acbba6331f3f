import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import SMALL_OPTIONS, random_features, random_labels, slim_spec
from padded_batch import padded
from replicas import replicas
from window_batch import random_windows

from lmn_tf.models import registry
from lmn_tf.models.fitting.counted_rows import counted_rows, refuse_weights
from lmn_tf.models.fitting.window_batches import WindowBatches
from lmn_tf.specs.errors import UserError

SPEC = slim_spec()
ROWS = 9
WEIGHTS = np.float32([0, 1, 2, 0, 0.5, 1, 0, 3, 0])
REFUSED = "`jit_compile` must be False where rows have weights, .* Received: jit_compile=True"
# What beside the losses of labels is a mean over rows, in each model.
OPTIONS = {
    "dnn": {"activation": "dice"},
    "lmn": {"key_balance_weight": 0.1, "query_target": True},
    "mimn": {"utilization_weight": 0.1},
    "sparse_moe": {},
    "sparse_moe softmax": {"routing": "softmax"},
    "ubr4ctr": {},
}


def make(name, optimizer=None, eager=True, **options):
    name = name.split()[0]
    registry.model_class(name)  # What it imports may draw random numbers.
    keras.utils.set_random_seed(1)
    model = registry.build(name, SPEC, {**SMALL_OPTIONS[name], **options})
    model.compile(optimizer or keras.optimizers.SGD(0.1, momentum=0.9), run_eagerly=eager)
    model.build()
    model.optimizer.build(model.trainable_variables)
    return model


def batch(weights):
    return random_features(SPEC, rows=ROWS), random_labels(ROWS), weights


def only(rows, parts):
    return tf.nest.map_structure(lambda part: part[rows], parts)


def state(model):
    """All weights, without what random numbers are drawn from."""
    return [v.numpy() for v in model.weights if "seed" not in v.path]


def test_rows_of_weight_0_are_left_out():
    x = {"a": tf.range(3), "b": tf.constant([[1.0], [2.0], [3.0]])}
    weights = tf.constant([0.0, 0.5, 0.0])
    x, y, weights = counted_rows(x, tf.constant([[7], [8], [9]]), weights)
    assert x["a"].numpy().tolist() == [1] and x["b"].numpy().tolist() == [[2.0]]
    assert y.numpy().tolist() == [[8]] and weights.numpy().tolist() == [0.5]


@pytest.mark.parametrize("weights", [None, np.float32([0.1, -1, np.nan])])
def test_all_rows_stay_where_each_has_a_weight(weights):
    x, y, kept = counted_rows(np.arange(3), np.arange(3), weights)
    assert len(x) == len(y) == 3
    if weights is not None:
        np.testing.assert_array_equal(kept, weights)


def test_a_row_counts_that_has_a_weight_for_any_label():
    x, _, weights = counted_rows(np.arange(3), np.arange(3), np.float32([[0, 1], [0, 0], [2, 0]]))
    assert x.numpy().tolist() == [0, 2]
    assert weights.numpy().tolist() == [[0, 1], [2, 0]]


def test_graphs_know_all_but_the_number_of_rows():
    @tf.function(input_signature=[tf.TensorSpec([4, 2]), tf.TensorSpec([4])])
    def kept(x, weights):
        x, _, weights = counted_rows(x, x, weights)
        assert x.shape.as_list() == [None, 2]
        return x

    assert kept(np.ones((4, 2), "f"), np.float32([1, 0, 0, 1])).shape == (2, 2)


@pytest.mark.parametrize("in_graph", [False, True])
def test_rows_of_windows_leave_with_their_pairs(in_graph):
    features, labels = random_windows(SPEC, rows=ROWS), random_labels(ROWS)
    run = tf.function(counted_rows) if in_graph else counted_rows
    x, y, weights = run(features, labels, WEIGHTS, WindowBatches.from_spec(SPEC))
    wanted = padded(features, SPEC.sequences, width=5)
    for key, cells in padded(x, SPEC.sequences, width=5).items():
        np.testing.assert_array_equal(cells, wanted[key][WEIGHTS > 0], err_msg=key)
    assert len(x["clicks/elapsed"]) == x["clicks/length"].numpy().sum()
    np.testing.assert_array_equal(y, labels[WEIGHTS > 0])
    np.testing.assert_array_equal(weights, WEIGHTS[WEIGHTS > 0])


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("name", OPTIONS)
def test_rows_of_weight_0_change_nothing_that_is_trained(name):
    whole, other = (make(name, **OPTIONS[name]) for _ in range(2))
    everything = batch(WEIGHTS)
    for _ in range(2):
        logs = whole.train_on_batch(*everything, return_dict=True)
        expected = other.train_on_batch(*only(WEIGHTS > 0, everything), return_dict=True)
        assert logs == expected
    for value, wanted in zip(state(whole), state(other), strict=True):
        np.testing.assert_array_equal(value, wanted)


@pytest.mark.parametrize(
    "name",
    [
        name if name == "sparse_moe" else pytest.param(name, marks=pytest.mark.slow)
        for name in OPTIONS
    ],
)
def test_a_batch_of_weight_0_takes_no_step(name):
    model = make(name, eager=False, **OPTIONS[name])
    model.train_on_batch(*batch(WEIGHTS))  # so that there is a momentum
    before = state(model), int(model.optimizer.iterations)
    logs = model.train_on_batch(*batch(np.zeros(ROWS, "f")), return_dict=True)
    assert all(np.isfinite(value) for value in logs.values())
    assert int(model.optimizer.iterations) == before[1]
    for value, wanted in zip(state(model), before[0], strict=True):
        np.testing.assert_array_equal(value, wanted)


def test_a_batch_of_weight_0_takes_no_eager_step():
    model = make("dnn")
    before = state(model)
    assert model.train_on_batch(*batch(np.zeros(ROWS, "f"))) == 0
    assert model.test_on_batch(*batch(np.zeros(ROWS, "f"))) == 0
    for value, wanted in zip(state(model), before, strict=True):
        np.testing.assert_array_equal(value, wanted)


def test_evaluation_leaves_them_out_too():
    model = make("lmn")
    everything = batch(WEIGHTS)
    x, y, weights = only(WEIGHTS > 0, everything)
    found = model.test_on_batch(*everything, return_dict=True)
    assert found == model.test_on_batch(x, y, weights, return_dict=True)


def fitted(strategy, weights):
    """Weights after two epochs of two batches, of which the replicas of the last are uneven."""
    with strategy.scope():
        model = make("lmn", keras.optimizers.SGD(0.1), eager=False, **OPTIONS["lmn"])
    data = only(weights != -1, batch(weights))
    if np.all(data[2] == 1):
        data = data[:2]
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(6 if len(data) == 3 else 3)
    model.fit(dataset, epochs=2, verbose=0)
    return state(model)


@pytest.mark.slow
def test_replicas_leave_them_out():
    # Three rows of the first batch count, two of the second; one replica has none of the first.
    weights = np.float32([1, 1, 1, 0, 0, 0, 0, 1, 1])
    two = fitted(replicas(2), weights)
    one = fitted(tf.distribute.get_strategy(), np.where(weights == 0, -1, weights))
    for value, wanted in zip(two, one, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-6)


def compiled_dnn(jit_compile=True):
    model = make("dnn")
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), jit_compile=jit_compile)
    return model


def by_xla(function):
    return tf.function(function, jit_compile=True, autograph=False)


def test_xla_cannot_leave_rows_out():
    compiled = by_xla(counted_rows)
    assert compiled(tf.range(3), tf.range(3), None)[0].shape == 3
    with pytest.raises(UserError, match=REFUSED):
        compiled(tf.range(3), tf.range(3), tf.zeros(3))


def test_weights_are_refused_only_where_xla_compiles():
    refuse_weights(False)
    with pytest.raises(UserError, match=REFUSED):
        refuse_weights(True)


@pytest.mark.parametrize(
    "use",
    [
        lambda model, batch: model.fit(*batch[:2], sample_weight=batch[2], verbose=0),
        lambda model, batch: model.fit(*batch[:2], class_weight={0: 0.0, 1: 1.0}, verbose=0),
        lambda model, batch: model.fit(tf.data.Dataset.from_tensors(batch), verbose=0),
        lambda model, batch: model.fit(*batch[:2], validation_data=batch, verbose=0),
        lambda model, batch: model.fit(
            *batch[:2], validation_data=tf.data.Dataset.from_tensors(batch), verbose=0
        ),
        lambda model, batch: model.train_on_batch(*batch),
        lambda model, batch: model.test_on_batch(*batch),
        lambda model, batch: model.evaluate(tf.data.Dataset.from_tensors(batch), verbose=0),
        lambda model, batch: tf.function(model.train_step, jit_compile=True, autograph=False)(
            batch
        ),
    ],
)
def test_a_model_compiled_by_xla_refuses_weights_before_the_first_step(use):
    model = compiled_dnn()
    before = state(model)
    with pytest.raises(UserError, match=REFUSED):
        use(model, batch(WEIGHTS))
    assert int(model.optimizer.iterations) == 0
    for value, wanted in zip(state(model), before, strict=True):
        np.testing.assert_array_equal(value, wanted)


@pytest.mark.slow
def test_a_model_compiled_by_xla_trains_on_rows_without_weights():
    compiled, other = compiled_dnn(), compiled_dnn(False)
    x, y, _ = batch(None)
    data = tf.data.Dataset.from_tensors((x, y, None))
    for model in (compiled, other):
        model.fit(x, y, batch_size=ROWS, validation_data=data, shuffle=False, verbose=0)
    for value, wanted in zip(state(compiled), state(other), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-6)


def test_choosing_xla_automatically_keeps_it_from_weights():
    model = compiled_dnn("auto")
    assert not model.jit_compile
    model.train_on_batch(*batch(WEIGHTS))
    assert int(model.optimizer.iterations) == 1
