import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import SMALL_OPTIONS, random_features, random_labels, slim_spec
from replicas import replicas

from lmn_tf.models import registry
from lmn_tf.models.counted_rows import counted_rows

SPEC = slim_spec()
ROWS = 9
WEIGHTS = np.float32([0, 1, 2, 0, 0.5, 1, 0, 3, 0])
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
        name if name in ("lmn", "sparse_moe") else pytest.param(name, marks=pytest.mark.slow)
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
