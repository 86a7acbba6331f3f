import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf.metrics import GroupedAUC, LogLoss, NormalizedEntropy, StreamingAUC


def BinnedAUC(**options):
    """The AUC as graphs compute it."""
    return StreamingAUC(exact_rows=0, **options)


KINDS = [BinnedAUC, LogLoss, NormalizedEntropy]


@pytest.fixture
def rows():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, (300, 2)).astype("float32")
    logits = (labels + rng.normal(size=(300, 2))).astype("float32")
    return labels, logits, rng.random(300).astype("float32")


@pytest.mark.parametrize("kind", KINDS)
def test_scores_its_own_label(kind, rows):
    labels, logits, weights = rows
    both, alone = kind(label_index=1), kind()
    both.update_state(labels, logits, weights)
    alone.update_state(labels[:, 1], logits[:, 1], weights[:, None])
    assert float(both.result()) == float(alone.result())


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_each_label_are_told_apart(kind, rows):
    labels, logits, weights = rows
    both, alone = kind(label_index=1), kind()
    both.update_state(labels, logits, np.stack([weights[::-1], weights], 1))
    alone.update_state(labels[:, 1], logits[:, 1], weights)
    assert float(both.result()) == pytest.approx(float(alone.result()), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_weight_counts_as_that_many_rows(kind, rows):
    labels, logits, _ = rows
    labels, logits = labels[:, :1], logits[:, :1]
    times = np.random.default_rng(1).integers(0, 4, len(labels))
    weighted, repeated = kind(), kind()
    weighted.update_state(labels, logits, times)
    repeated.update_state(np.repeat(labels, times, 0), np.repeat(logits, times, 0))
    assert float(weighted.result()) == pytest.approx(float(repeated.result()), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compiled", [False, True])
def test_batches_add_up_and_reset_forgets(kind, compiled, rows):
    labels, logits, weights = rows
    whole, parts = kind(), kind()
    whole.update_state(labels, logits, weights)
    update = tf.function(parts.update_state) if compiled else parts.update_state
    result = tf.function(parts.result) if compiled else parts.result
    for _ in range(2):
        for start in range(0, 300, 64):
            part = slice(start, start + 64)
            update(*(tf.constant(each[part]) for each in (labels, logits, weights)))
        assert float(result()) == pytest.approx(float(whole.result()), rel=1e-6)
        parts.reset_state()
        assert np.isnan(float(result()))


@pytest.mark.parametrize("kind", KINDS)
def test_takes_probabilities(kind, rows):
    labels, logits, _ = rows
    from_logits, from_probabilities = kind(), kind(from_logits=False)
    from_logits.update_state(labels, logits)
    from_probabilities.update_state(labels, tf.sigmoid(logits))
    assert float(from_probabilities.result()) == pytest.approx(
        float(from_logits.result()), abs=1e-4
    )


@pytest.mark.parametrize("kind", [StreamingAUC, LogLoss, NormalizedEntropy, GroupedAUC])
def test_the_config_makes_the_same_metric(kind):
    metric = kind(label_index=2, from_logits=False, name="mine")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(again) is kind
    assert again.get_config() == metric.get_config()
    assert (again.name, again.label_index, again.from_logits) == ("mine", 2, False)


@pytest.mark.parametrize(
    ("count", "policy"), [(1, "float32"), pytest.param(2, "mixed_float16", marks=pytest.mark.slow)]
)
def test_fit_and_evaluate_report_them(count, policy):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(101, 3)).astype("float32")
    labels = (inputs[:, :1] + rng.normal(size=(101, 1)) > 0).astype("float32")
    with replicas(count).scope():
        model = keras.Sequential([keras.layers.Dense(1, dtype=keras.DTypePolicy(policy))])
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        model.compile("sgd", loss, metrics=[kind() for kind in KINDS])
    history = model.fit(
        inputs, labels, verbose=0, validation_data=(inputs, labels), batch_size=32
    ).history
    found = model.evaluate(inputs, labels, verbose=0, return_dict=True, batch_size=32)
    for kind in KINDS:
        metric = kind()
        metric.update_state(labels, model.predict(inputs, verbose=0))
        want = float(metric.result())
        assert found[metric.name] == pytest.approx(want, rel=1e-4)
        assert history[f"val_{metric.name}"] == [pytest.approx(want, rel=1e-4)]


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`label_index` must be zero or more.*label_index=-1"):
        LogLoss(label_index=-1)
    with pytest.raises(ValueError, match="must be below the number of labels, 2.*label_index=2"):
        LogLoss(label_index=2).update_state(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="`y_pred` must have shape .*Received: y_pred.shape="):
        StreamingAUC().update_state(np.ones((3, 1)), np.ones((3, 1, 1)))
