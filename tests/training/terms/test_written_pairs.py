import functools
import itertools

import numpy as np
import pytest
from pair_pooling import PairPooling
from rated_items import rated_dict, write_rated
from written_terms import FOUND, L2, crossed, fitted, value, written

from lmn_tf.layers.memory.pair_memory import PairMemory
from lmn_tf.models.baselines.ease import EASE
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.training.terms.written_pairs import WrittenPairs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rated")
    write_rated(folder, FOUND)
    return folder


def table_of(ease):
    return np.array(
        [
            [[value(ease, item, liked, candidate) for candidate in range(11)] for liked in range(4)]
            for item in range(11)
        ]
    )


def test_values_are_those_of_the_regression(folder):
    spec = crossed()
    model, memory, text = written(folder, spec, outcome="liked")
    table, want = np.array(memory.memory_values).reshape(11, 4, 11), table_of(fitted(folder, spec))
    assert np.abs(table).max() > 0.01
    np.testing.assert_allclose(table, want, rtol=1e-4, atol=1e-6)
    weight = model.calibration.term_weights[1, 0]
    assert text.startswith("Wrote the regression of 9 items into the memory of pairs. Weights of")
    assert text.endswith(f", pairs {weight:.3g}.")


def test_each_event_counts_without_an_outcome(folder):
    spec = FeatureSpec.from_dict(rated_dict())
    ease = fitted(folder, spec, outcome=None)
    want = [[value(ease, one, None, other) for other in range(11)] for one in range(11)]
    model = PairPooling(spec, hidden_units=(4,), pair_values="ease", pair_l2=L2)
    model.build()
    values = WrittenPairs(model, str(folder / "train-*.parquet")).values(
        np.arange(11), np.arange(11)
    )[:, :, 0]
    np.testing.assert_allclose(values, want, rtol=1e-5, atol=1e-7)
    assert np.abs(want).max() > 0.01


def test_rows_of_nobody_leave_the_memory_empty(folder):
    """Lists of events, and nothing that identifies users."""
    features = rated_dict()["features"][1:]
    spec = rated_dict(by_reference=False, group=None, features=features)
    model = PairPooling(FeatureSpec.from_dict(spec), hidden_units=(4,), pair_values="ease")
    model.build()
    pairs = WrittenPairs(model, str(folder / "train-*.parquet"))
    assert pairs.sentence.startswith("The memory of pairs stays empty: no two items were found")
    pairs.write()
    assert not np.any(model.pair_memories["history"].memory_values)


def test_pairs_of_known_items_that_share_a_slot_have_their_mean(folder):
    spec = crossed()
    _, whole, _ = written(folder, spec, outcome="liked")
    _, memory, _ = written(folder, spec, outcome="liked", pair_slots=100)
    values = np.array(whole.memory_values).reshape(11, 4, 11)
    shared = {}
    for item, liked, column in itertools.product(range(2, 11), (2, 3), range(2, 11)):
        slot = int(memory.slots(4 * item + liked, column))
        shared.setdefault(slot, []).append(values[item, liked, column])
    want = np.array([np.mean(shared.get(slot, [0.0])) for slot in range(100)])
    found = memory.get_weights()[0].ravel()
    assert np.abs(found).max() > 0
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-7)


def test_each_label_has_values_of_its_own(folder):
    _, single, _ = written(folder, crossed(), outcome="liked")
    model, memory, _ = written(folder, crossed(labels=("like", "again")), outcome="liked")
    assert memory.memory_values.shape == (44 * 11, 2)
    assert model.calibration.term_weights.shape == (2, 2)
    want = np.repeat(single.get_weights()[0], 2, axis=1)
    np.testing.assert_allclose(memory.memory_values, want, rtol=1e-4, atol=1e-7)


def test_only_pairs_of_the_most_frequent_items_are_hashed_and_the_log_tells_their_number(
    folder, monkeypatch
):
    hashed, slots = [], PairMemory.slots

    def watched(memory, rows, columns):
        hashed.append(rows.size if isinstance(rows, np.ndarray) else 0)
        return slots(memory, rows, columns)

    monkeypatch.setattr(PairMemory, "slots", watched)
    few = functools.partial(EASE, max_items=4)
    monkeypatch.setattr("lmn_tf.training.terms.written_pairs.EASE", few)
    _, memory, text = written(folder, crossed(), outcome="liked", pair_slots=100)
    assert text.startswith("Wrote the regression of 4 of 9 items into the memory of pairs.")
    assert sum(hashed) == 4 * 2 * 4  # items, outcomes, candidates
    assert 0 < np.count_nonzero(memory.get_weights()[0]) <= 32
