import collections

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score
from tiny_run import PAIR, keyed_pair_run, known_pairs, market, pair_run, trained_run

from lmn_tf.data.dataset import evaluation_dataset
from lmn_tf.models import registry
from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.training.evaluation.diagnostics import changed_tables, diagnose
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.saving.run_directory import RunDirectory


def opened_run(path):
    directory = RunDirectory.open(path)
    spec, model = directory.load_spec(), directory.load_model()
    dataset = evaluation_dataset(spec, f"{market()}/test-*.parquet", 256)
    return spec, model, dataset


@pytest.fixture(scope="module")
def opened():
    return opened_run(trained_run())


def diagnosed(evaluator, spec, dataset):
    def train(quartiles):
        return Interactions.read(spec, quartiles.columns, f"{market()}/train-*.parquet")

    return diagnose(evaluator, spec, dataset, train)


def test_what_a_model_owes_to_its_memory(opened):
    spec, model, dataset = opened
    evaluator = Evaluator(model)
    [memory] = evaluator.memories
    before = memory.memory_values.numpy()
    figures, found = diagnosed(evaluator, spec, dataset)
    assert list(figures) == list(evaluator.evaluate(dataset))
    np.testing.assert_array_equal(memory.memory_values.numpy(), before)
    assert [one["rows"] > 0 for one in found["support"]] == [True] * 4
    assert sum(one["rows"] for one in found["support"]) == figures["examples"]
    of_memory = found["memory"]
    assert of_memory["gate"] is None and of_memory["slots_below_10"] < 100
    # Each of the heads reads four of the 36 slots for each event.
    assert of_memory["reads_per_slot"] > figures["examples"] * 4 / 36
    memory.memory_values.assign(before * 0)
    assert of_memory["auc_zeroed"] == pytest.approx(evaluator.evaluate(dataset)["auc"], abs=1e-6)
    memory.memory_values.assign(before)
    assert of_memory["auc_shuffled"] != of_memory["auc_zeroed"]


def test_what_a_model_owes_to_a_memory_of_pairs():
    spec, model, dataset = opened_run(pair_run())
    evaluator = Evaluator(model)
    [memory] = evaluator.slot_memories
    size = memory.memory_size
    # Larger than after an epoch, so that each figure is another one.
    table = np.random.default_rng(1).normal(size=(size, 1)).astype("float32")
    memory.memory_values.assign(table)
    figures, found = diagnosed(evaluator, spec, dataset)
    of_memory = found["memory"]
    np.testing.assert_array_equal(memory.memory_values.numpy(), table)

    options = {key: value for key, value in PAIR.items() if not key.startswith(("name", "pair"))}
    host = registry.build("strong_pooling", spec, options)
    host.build()
    own = [weight for weight in model.weights if "history_pairs" not in weight.path]
    for weight, want in zip(host.weights, own, strict=True):
        weight.assign(want)
    of_host = Evaluator(host).evaluate(dataset)
    assert of_memory["auc_zeroed"] == of_host["auc"]
    assert "memory" not in figures and list(figures) == list(of_host)

    rows = [
        [event * memory.num_columns + item for event, item in pairs]
        for features, _ in dataset
        for pairs in known_pairs(features)
    ]
    counts = collections.Counter(pair for pairs in rows for pair in pairs)
    assert of_memory["reads_per_slot"] == pytest.approx(counts.total() / size)
    assert of_memory["slots_read"] == pytest.approx(100 * len(counts) / size)
    often = sum(count >= 10 for count in counts.values())
    assert 0 < often and of_memory["slots_below_10"] == pytest.approx(100 * (1 - often / size))
    assert of_memory["gate"] is None

    read = sorted(counts)
    to_others = np.random.default_rng(0).permutation(read)
    shuffled = dict(zip(read, table[to_others, 0], strict=True))
    logits = np.concatenate([host(features).numpy()[:, 0] for features, _ in dataset])
    labels = np.concatenate([labels.numpy()[:, 0] for _, labels in dataset])
    for key, values in (("auc_shuffled", shuffled), ("auc", table[:, 0])):
        sums = logits + [sum(values[pair] for pair in pairs) for pairs in rows]
        got = (of_memory | figures)[key]
        assert got == pytest.approx(roc_auc_score(labels, sums), abs=5e-4), key
    aucs = figures["auc"], of_memory["auc_shuffled"], of_memory["auc_zeroed"]
    assert len({round(auc, 2) for auc in aucs}) == 3


def test_what_a_model_owes_to_keys_of_pairs():
    spec, model, dataset = opened_run(keyed_pair_run())
    evaluator = Evaluator(model)
    [memory] = evaluator.slot_memories
    # Larger than after an epoch, so that each figure is another one.
    table = np.random.default_rng(1).normal(size=memory.memory_values.shape)
    memory.memory_values.assign(20 * table)
    figures, found = diagnosed(evaluator, spec, dataset)
    of_memory = found["memory"]
    aucs = figures["auc"], of_memory["auc_shuffled"], of_memory["auc_zeroed"]
    assert len({round(auc, 2) for auc in aucs}) == 3
    events = sum(int(tf.reduce_sum(features["history/length"])) for features, _ in dataset)
    assert of_memory["reads_per_slot"] == events * memory.top_k / 6


def test_tables_have_their_values_again_after_an_error(opened):
    _, model, _ = opened
    [memory] = Evaluator(model).memories
    before = memory.memory_values.numpy()
    with pytest.raises(ZeroDivisionError, match="division"):
        with changed_tables([memory.memory_values], [np.zeros_like]):
            assert not memory.memory_values.numpy().any()
            1 / 0  # noqa: B018
    np.testing.assert_array_equal(memory.memory_values.numpy(), before)
