import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import SMALL, SMALL_MEMORY, SMALL_OPTIONS, random_labels, slim_spec
from replicas import replicas
from window_batch import random_windows

from lmn_tf.models import DIEN, LMN, MIMN, Pooling
from lmn_tf.models.fitting.distributed_windows import DistributedWindows

SPEC = slim_spec()
ROWS = (5, 4, 1)  # of which two replicas take 3 and 2, 2 and 2, 1 and 0
TRACED = []


@keras.saving.register_keras_serializable(package="lmn_tf_tests")
class Windowed(Pooling):
    """A model that notes how often it is traced."""

    def call(self, features, training=None):
        TRACED.append(sorted(features))
        return super().call(features, training=training)


def batches(weighted=False, labels=True):
    for number, rows in enumerate(ROWS):
        features = random_windows(SPEC, rows=rows, seed=number)
        weights = np.float32([0, 1, 2, 0.5, 0])[:rows] if number < 2 else np.zeros(1, "f")
        parts = (features, random_labels(6)[:rows], weights)
        yield parts[: 3 if weighted else 2] if labels else features


def dataset(**which):
    one = next(batches(**which))
    specs = tf.nest.map_structure(lambda p: tf.TensorSpec([None, *p.shape[1:]], p.dtype), one)
    made = tf.data.Dataset.from_generator(lambda: batches(**which), output_signature=specs)
    return made.apply(tf.data.experimental.assert_cardinality(len(ROWS)))


def model_on(count, metrics=("auc", "gauc"), make=Windowed, options=SMALL, **arguments):
    keras.utils.set_random_seed(1)
    strategy = replicas(count) if count > 1 else tf.distribute.get_strategy()
    with strategy.scope():
        model = make(SPEC, **options)
        model.compile(keras.optimizers.SGD(0.5), metrics=list(metrics), **arguments)
        model.build()
    return model


def fitted(count, weighted, **arguments):
    model = model_on(count, **arguments)
    data = dataset(weighted=weighted)
    history = model.fit(data, epochs=2, validation_data=data, verbose=0).history
    return model, history


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_replicas_train_as_one_device(weighted):
    (one, wanted), (two, found) = (fitted(count, weighted) for count in (1, 2))
    assert found.keys() == wanted.keys() and "val_gauc" in found
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, err_msg=name)
    for value, other in zip(two.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-4, atol=1e-6)
    evaluated = [one_of.evaluate(dataset(weighted=weighted), verbose=0) for one_of in (one, two)]
    np.testing.assert_allclose(evaluated[1], evaluated[0], rtol=1e-5)
    predicted = [one_of.predict(dataset(labels=False), verbose=0) for one_of in (one, two)]
    assert len(predicted[1]) == sum(ROWS)
    np.testing.assert_allclose(predicted[1], predicted[0], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "options"),
    [
        (LMN, {**SMALL_MEMORY, "key_balance_weight": 0.1}),
        (LMN, {**SMALL_MEMORY, "key_balance_weight": 0.1, "memory_fields": "all"}),
        (MIMN, {**SMALL_OPTIONS["mimn"], "utilization_weight": 0.1}),
        (DIEN, {**SMALL_OPTIONS["dien"], "auxiliary_weight": 0.0}),  # whose draws are a device's
    ],
)
def test_what_rows_share_trains_as_on_one_device(make, options):
    (one, wanted), (two, found) = (
        fitted(count, True, make=make, options=options) for count in (1, 2)
    )
    np.testing.assert_allclose(found["loss"], wanted["loss"], rtol=1e-4)
    for value, other in zip(two.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_several_steps_at_a_time_are_the_same_steps():
    (one, _), (three, _) = (fitted(2, True, steps_per_execution=steps) for steps in (1, 3))
    for value, wanted in zip(three.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_array_equal(value, wanted)


def test_an_eager_step_of_a_replica_without_rows_is_that_of_the_other_one():
    losses = {}
    for count in (1, 2):
        model = model_on(count, metrics=(), run_eagerly=True)
        data = dataset().skip(len(ROWS) - 1)
        assert len(next(iter(data))[1]) == 1
        losses[count] = model.fit(data, verbose=0).history["loss"][0], model.get_weights()
    assert losses[1][0] == pytest.approx(losses[2][0], rel=1e-6)
    for value, wanted in zip(losses[2][1], losses[1][1], strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-6, atol=1e-7)


class Steps(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.planned, self.done = self.params["steps"], 0

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1


def test_no_step_is_traced_again_and_the_progress_bar_knows_the_steps():
    model, steps = model_on(2, metrics=()), Steps()
    TRACED.clear()
    model.fit(dataset(), verbose=0, callbacks=[steps])
    assert (steps.planned, steps.done) == (3, 3)
    once = len(TRACED)
    model.fit(dataset().repeat(2), verbose=0)
    assert 2 <= once == len(TRACED)


def test_a_share_holds_the_events_of_its_rows_alone():
    model = model_on(2)
    data = model.distribute_strategy.experimental_distribute_dataset(dataset())
    for (features, labels), batch in zip(data, batches(), strict=True):
        rows = [len(part) for part in replicas(2).experimental_local_results(labels)]
        assert rows == [(len(batch[1]) + 1) // 2, len(batch[1]) // 2]
        for part in range(2):
            share = {key: values.values[part].numpy() for key, values in features.items()}
            seen = share["clicks/first"] + share["clicks/length"]
            assert len(share["clicks/item"]) == seen.max(initial=0)
            assert len(share["clicks/elapsed"]) == share["clicks/length"].sum()


def test_other_datasets_are_left_to_the_strategy():
    model = model_on(2)
    plain = tf.data.Dataset.range(4).batch(4)
    (batch,) = model.distribute_strategy.experimental_distribute_dataset(plain)
    assert [part.numpy().tolist() for part in batch.values] == [[0, 1], [2, 3]]
    assert isinstance(model.distribute_strategy, DistributedWindows)
    assert model.distribute_strategy.num_replicas_in_sync == 2
    here = model_on(1)
    data = dataset()
    assert here.distribute_strategy.experimental_distribute_dataset(data) is data


def test_datasets_for_xla_are_padded():
    model = model_on(1, metrics=(), jit_compile=True)
    found = model.distribute_strategy.experimental_distribute_dataset(dataset())
    assert [features["clicks/mask"].shape for features, _ in found] == [(n, 8) for n in ROWS]


@pytest.mark.slow
def test_what_xla_compiles_is_padded():
    compiled, plain = (model_on(1, metrics=(), jit_compile=jit) for jit in (True, False))
    TRACED.clear()
    compiled.fit(dataset(), verbose=0)
    assert TRACED and not any("clicks/first" in keys for keys in TRACED)
    plain.fit(dataset(), verbose=0)
    assert "clicks/first" in TRACED[-1]
    for value, wanted in zip(compiled.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-6)
    predicted = [model.predict(dataset(labels=False), verbose=0) for model in (compiled, plain)]
    np.testing.assert_allclose(predicted[0], predicted[1], rtol=1e-4, atol=1e-5)
    evaluated = [model.evaluate(dataset(), verbose=0) for model in (compiled, plain)]
    np.testing.assert_allclose(evaluated[0], evaluated[1], rtol=1e-4)
