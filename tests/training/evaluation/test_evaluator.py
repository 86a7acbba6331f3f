import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import (
    SMALL_OPTIONS,
    random_features,
    random_labels,
    shared_features,
    slim_spec,
)
from own_modules import write_modules
from sklearn import metrics as reference
from tiny_run import market, trained_run

from lmn_tf.data.dataset import make_dataset
from lmn_tf.features.encoded_history import EncodedHistory
from lmn_tf.models import registry
from lmn_tf.specs.errors import UserError
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.saving.run_directory import RunDirectory


def dataset(logits, labels, groups, weights=None, batch=7):
    parts = ({"x": logits.astype("float32"), "group": groups}, labels.astype("float32"))
    parts += () if weights is None else (weights.astype("float32"),)
    return tf.data.Dataset.from_tensor_slices(parts).batch(batch)


class Echo(tf.keras.Model):
    """Gives its input back as logits."""

    def call(self, features, training=None):
        return features["x"]


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, 2))
    labels = (logits + rng.normal(size=(200, 2)) > 0).astype("float64")
    return logits, labels, rng.integers(0, 12, 200)


def probability(logits):
    return 1 / (1 + np.exp(-logits))


def test_agrees_with_scikit_learn(rows):
    logits, labels, groups = rows
    found = Evaluator(Echo(), ("a", "b"), grouped=True).evaluate(dataset(*rows))
    for index, name in enumerate(("a", "b")):
        y, x = labels[:, index], logits[:, index]
        entropy = reference.log_loss(y, np.full(200, y.mean()))
        want = {
            "auc": reference.roc_auc_score(y, x),
            "logloss": reference.log_loss(y, probability(x)),
            "normalized_entropy": reference.log_loss(y, probability(x)) / entropy,
        }
        aucs, sizes = [], []
        for group in np.unique(groups):
            part = groups == group
            if 0 < y[part].mean() < 1:
                aucs.append(reference.roc_auc_score(y[part], x[part]))
                sizes.append(part.sum())
        want["gauc"], want["qauc"] = np.average(aucs, weights=sizes), np.mean(aucs)
        for key, value in want.items():
            assert found["labels"][name][key] == pytest.approx(value, abs=5e-4), key
            if index == 0:
                assert found[key] == pytest.approx(value, abs=5e-4)
        assert found["labels"][name]["groups_skipped"] == 12 - len(aucs)
    assert found["examples"] == 200 and found["groups"] == 12 and "memory" not in found


def test_rows_of_weight_0_are_part_of_no_figure(rows):
    logits, labels, groups = rows
    found = Evaluator(Echo(), ("a", "b"), grouped=True).evaluate(dataset(*rows, np.ones(200)))
    masked = np.concatenate([np.full((30, 2), np.nan), logits, np.full((9, 2), 5.0)])
    others = np.concatenate([np.zeros((30, 2)), labels, np.ones((9, 2))])
    groups = np.concatenate([np.full(30, 77), groups, np.full(9, 78)])
    weights = np.concatenate([np.zeros(30), np.ones(200), np.zeros(9)])
    again = Evaluator(Echo(), ("a", "b"), grouped=True).evaluate(
        dataset(masked, others, groups, weights)
    )
    for figures in (found, again):
        figures.pop("examples_per_second")
    assert again == found and found["examples"] == 200
    masked[31] = np.nan
    with pytest.raises(UserError, match="nan for row 2 of the data with a weight, in the order"):
        Evaluator(Echo(), ("a", "b")).evaluate(dataset(masked, others, groups, weights))


def test_rows_are_left_out_of_batches_of_a_known_size(rows):
    logits, labels, groups = (column[:21] for column in rows)
    weights = np.arange(21) % 3
    batches = dataset(logits, labels, groups, weights)
    fixed = batches.unbatch().batch(7, drop_remainder=True)
    assert fixed.element_spec[2].shape == (7,)
    found, want = (Evaluator(Echo(), ("a", "b")).evaluate(each) for each in (fixed, batches))
    assert found["examples"] == want["examples"] == 14 and found["auc"] == want["auc"]


def test_weights_of_rows_count(rows):
    logits, labels, groups = rows
    weights = np.random.default_rng(1).uniform(0, 3, 200)
    found = Evaluator(Echo()).evaluate(dataset(*rows, weights))
    y, x = labels[:, 0], logits[:, 0]
    want = reference.roc_auc_score(y, x, sample_weight=weights)
    assert found["auc"] == pytest.approx(want, abs=5e-4)
    want = reference.log_loss(y, probability(x), sample_weight=weights)
    assert found["logloss"] == pytest.approx(want, abs=1e-5)


def test_what_does_not_exist_is_none(rows):
    logits, labels, groups = rows
    found = Evaluator(Echo(), grouped=True).evaluate(dataset(logits, labels * 0, groups))
    assert found["auc"] is None and found["gauc"] is None and found["logloss"] > 0


def test_predictions_come_in_order(rows):
    logits, _, _ = rows
    batches = list(Evaluator(Echo(), ("a", "b")).predict(dataset(*rows)))
    np.testing.assert_allclose(np.concatenate(batches), probability(logits), rtol=1e-5)


def test_memory_usage_is_that_of_the_reads():
    directory = RunDirectory.open(trained_run())
    model, spec = directory.load_model(), directory.load_spec()
    data = make_dataset(spec, f"{market()}/test-*.parquet", batch_size=64)
    memory = Evaluator(model, ("click",), True).evaluate(data)["memory"]
    large = next(layer for layer in model.layers if hasattr(layer, "user_aware_query"))
    reads = np.zeros(large.memory_size)
    for features, _ in data:
        groups = model.encoder.encode(features)
        history = groups["histories"]["history"]
        history = EncodedHistory(history.events, history.event_windows)  # as queries are made
        _, slots, weights = large.read(history["history"], groups["user"], history["mask"])
        valid = history["mask"].numpy()
        np.add.at(reads, slots.numpy()[valid].ravel(), weights.numpy()[valid].ravel())
    share = reads / reads.sum()
    used = share[share > 0]
    assert memory["memory_size"] == 36
    assert memory["slots_used"] == pytest.approx(100 * len(used) / 36)
    assert memory["memory_kl"] == pytest.approx(np.log(36) + (used * np.log(used)).sum(), abs=1e-4)
    most = np.cumsum(np.sort(share)[::-1])
    assert memory["slots_for_90"] == np.searchsorted(most, 0.9) + 1


def test_agrees_with_the_evaluate_of_a_compiled_model_walks_over_histories_included():
    spec = slim_spec()
    keras.utils.set_random_seed(1)
    model = registry.build("imn", spec, SMALL_OPTIONS["imn"])
    ungrouped = ["auc", "logloss", "normalized_entropy"]
    model.compile(metrics=ungrouped, run_eagerly=True)
    features, labels = random_features(spec, rows=20), random_labels(20)
    want = model.evaluate(features, labels, batch_size=8, verbose=0, return_dict=True)
    data = tf.data.Dataset.from_tensor_slices((features, labels)).batch(8)
    evaluator = Evaluator(model)
    for _ in range(2):
        found = evaluator.evaluate(data)
        for name in (*ungrouped, "attention_entropy_1", "attention_entropy_2"):
            assert found[name] == pytest.approx(want[name], rel=1e-5) and found[name] > 0
        assert "memory" not in found and "attention_entropy_3" not in found


class Itself(keras.Model):
    """Gives its feature as the logits."""

    def call(self, features, training=None):
        return features["x"]


def test_logits_that_are_not_finite_are_refused_with_their_row():
    x = np.float32([[1], [2], [3], [np.inf]])
    batches = tf.data.Dataset.from_tensor_slices(({"x": x}, np.zeros_like(x))).batch(3)
    message = (
        "logits of the model must be finite. Received: inf for row 4 of the data, in the order of "
        "evaluation, which may put rows of a user together: likely"
    )
    with pytest.raises(UserError, match=message):
        list(Evaluator(Itself()).predict(batches))


@pytest.mark.parametrize("memory_fields", [pytest.param("all", marks=pytest.mark.slow), "event"])
def test_figures_on_shared_events_are_those_on_padded_histories(memory_fields):
    spec = slim_spec()
    model = registry.build("lmn", spec, {**SMALL_OPTIONS["lmn"], "memory_fields": memory_fields})
    model.build()
    labels = random_labels(9)
    found, wanted = (
        Evaluator(model, ("click",)).evaluate(tf.data.Dataset.from_tensors((form, labels)))
        for form in shared_features(spec)
    )
    found, wanted = ({**one.pop("memory"), **one} for one in (found, wanted))
    assert found.pop("examples_per_second") > 0 < wanted.pop("examples_per_second")
    assert found == pytest.approx(wanted, rel=1e-4)


def test_rows_of_weight_0_are_left_out_of_shared_events_as_of_padded_histories():
    spec = slim_spec()
    model = registry.build("pooling", spec, SMALL_OPTIONS["pooling"])
    model.build()
    labels, weights = random_labels(9), np.float32([1, 0, 2, 0, 0, 1, 1, 0, 3])
    found, wanted = (
        Evaluator(model).evaluate(tf.data.Dataset.from_tensors((form, labels, weights)))
        for form in shared_features(spec)
    )
    assert found.pop("examples_per_second") > 0 < wanted.pop("examples_per_second")
    assert found == pytest.approx(wanted, rel=1e-4) and found["examples"] == 5


def test_metrics_of_users_are_those_of_each_label(rows, tmp_path, monkeypatch):
    write_modules(tmp_path, monkeypatch)
    _, labels, _ = rows
    own = ["users_metrics:Rows", {"users_metrics:Grouped": {"weight": "uniform"}}]
    found = Evaluator(Echo(), ("a", "b"), True, own).evaluate(dataset(*rows))
    assert found["metrics"]["rows"] == labels[:, 0].sum()
    assert found["metrics"]["grouped"] == pytest.approx(found["qauc"])
    assert found["labels"]["b"]["metrics"]["rows"] == labels[:, 1].sum()
