import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import SMALL_OPTIONS, random_features, slim_spec
from tiny_run import inspected_run

from lmn_tf.models import registry
from lmn_tf.models.fitting.window_batches import WindowBatches
from lmn_tf.specs.errors import UserError
from lmn_tf.training.evaluation.memory_reads import memory_layers
from lmn_tf.training.inspection.row_slots import logits_without, row_slots, zeroed_rows


def twin(run, row, slots):
    """The logit of a padded row by a model whose table of values was edited by hand."""
    model = run.evaluator.model
    table = model.memories["history"].memory.memory_values
    kept = table.numpy()
    edited = kept.copy()
    edited[slots] = 0.0
    keep = np.arange(len(run.names.users)) == row
    [features] = run.kept_rows(keep)
    table.assign(edited)
    try:
        return float(model(WindowBatches.from_spec(run.spec).padded(features))[0, 0])
    finally:
        table.assign(kept)


@functools.cache
def found_row():
    """A user, an item, their last row, and what is found of it."""
    run = inspected_run()
    user, item = run.names.users[40], run.names.items[40]
    row = int(run.names.of_pair(user, item)[-1])
    return user, item, row, row_slots(run, user, item, top=2, readers=50)


def test_scores_without_slots_are_those_of_an_edited_table():
    run = inspected_run()
    table = run.evaluator.model.memories["history"].memory.memory_values
    before = table.numpy()
    _, _, row, found = found_row()
    np.testing.assert_array_equal(table.numpy(), before)
    assert found["label"] == "click"
    assert found["logit"] == pytest.approx(twin(run, row, []), rel=1e-4, abs=1e-5)
    assert found["probability"] == pytest.approx(1 / (1 + np.exp(-found["logit"])))
    memory = found["memories"]["history_memory"]
    everything = twin(run, row, np.arange(36))
    assert memory["without"]["logit"] == pytest.approx(everything, rel=1e-4, abs=1e-5)
    assert everything != pytest.approx(found["logit"], abs=1e-4)
    for slot in memory["top_slots"]:
        wanted = twin(run, row, [slot["slot"]])
        assert slot["without"]["logit"] == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_the_row_reads_by_the_items_of_its_history():
    run = inspected_run()
    _, _, row, found = found_row()
    memory = found["memories"]["history_memory"]
    [features] = run.kept_rows(np.arange(len(run.names.users)) == row)
    history = [run.readers[0].names["item_id"](id_) for id_ in features["history/item_id"].numpy()]
    assert memory["reads"] == 4 * len(history)  # top_k
    first, second = memory["top_slots"]
    assert 1 / memory["slots"] <= first["share"] and 0 < second["share"] <= first["share"]
    for slot in (first, second):
        assert divmod(slot["slot"], 6) == (slot["row"], slot["column"])
        assert {one["value"] for one in slot["items"]} <= set(history)
        assert sum(one["share"] for one in slot["items"]) == pytest.approx(1.0)


def test_an_unknown_item_is_refused():
    with pytest.raises(UserError, match="`--item` must name an item of the first 200 rows"):
        row_slots(inspected_run(), found_row()[0], "nothing")


def test_rows_have_their_values_again_after_an_error():
    table = keras.Variable(np.arange(6.0).reshape(3, 2))
    with pytest.raises(KeyError, match="stop"):
        with zeroed_rows(table, np.array([2, 0])):
            assert table.numpy().tolist() == [[0, 0], [2, 3], [0, 0]]
            raise KeyError("stop")
    assert table.numpy().tolist() == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize(
    "name",
    [
        "msn",
        pytest.param("lmn_sim", marks=pytest.mark.slow),
        pytest.param("lmn_mimn", marks=pytest.mark.slow),
        pytest.param("lmn_two_tower", marks=pytest.mark.slow),
    ],
)
def test_other_models_owe_their_score_to_slots_too(name):
    keras.utils.set_random_seed(1)
    spec = slim_spec()
    model = registry.build(name, spec, SMALL_OPTIONS[name])
    features = {key: tf.constant(cells) for key, cells in random_features(spec, rows=2).items()}
    logits = model(features, training=False).numpy()
    table = memory_layers(model)[0].memory_values
    without = logits_without(model, features, table, range(table.shape[0])).numpy()
    table.assign(np.zeros(table.shape))
    np.testing.assert_allclose(without, model(features, training=False), rtol=1e-5, atol=1e-6)
    assert np.abs(without - logits).max() > 1e-6
