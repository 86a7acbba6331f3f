import numpy as np
import pytest
from tiny_run import market, trained_run

from lmn_tf.data.dataset import evaluation_dataset
from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.training.evaluation.diagnostics import changed_tables, diagnose
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.saving.run_directory import RunDirectory


@pytest.fixture(scope="module")
def opened():
    directory = RunDirectory.open(trained_run())
    spec, model = directory.load_spec(), directory.load_model()
    dataset = evaluation_dataset(spec, f"{market()}/test-*.parquet", 256)
    return spec, model, dataset


def test_what_a_model_owes_to_its_memory(opened):
    spec, model, dataset = opened

    def train(quartiles):
        return Interactions.read(spec, quartiles.columns, f"{market()}/train-*.parquet")

    evaluator = Evaluator(model)
    [memory] = evaluator.memories
    before = memory.memory_values.numpy()
    figures, found = diagnose(evaluator, spec, dataset, train)
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


def test_tables_have_their_values_again_after_an_error(opened):
    _, model, _ = opened
    [memory] = Evaluator(model).memories
    before = memory.memory_values.numpy()
    with pytest.raises(ZeroDivisionError, match="division"):
        with changed_tables([memory.memory_values], np.zeros_like):
            assert not memory.memory_values.numpy().any()
            1 / 0  # noqa: B018
    np.testing.assert_array_equal(memory.memory_values.numpy(), before)
