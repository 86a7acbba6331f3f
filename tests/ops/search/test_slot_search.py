import numpy as np
import pytest
import tensorflow as tf
from slot_twins import best_slots

from lmn_tf.ops.search import slot_search
from lmn_tf.ops.search.slot_search import is_filtered, rank_pairs, search_slots


def scores_of(queries, keys):
    scores = tf.matmul(queries, keys, transpose_b=True)
    return scores, -scores


@pytest.mark.parametrize("num_keys", [7, 60])
def test_searches_what_a_function_scores(num_keys):
    rng = np.random.default_rng(0)
    # Whole numbers: every order of adding gives the same score.
    queries = rng.integers(-9, 9, (600, 4)).astype("float32")
    keys = rng.integers(-9, 9, (num_keys, 4)).astype("float32")
    tensors = (tf.constant(queries),), (tf.constant(keys),)
    scores, slots = search_slots(scores_of, *tensors, num_keys, 6)
    want_scores, want_slots = best_slots(queries @ keys.T, -(queries @ keys.T), 6)
    np.testing.assert_array_equal(scores, want_scores)
    np.testing.assert_array_equal(slots, want_slots)


@pytest.mark.parametrize(
    ("num_keys", "k", "answer"),
    [(47, 8, False), (48, 8, True), (48, 25, False), (300, 1, False), (300, 129, False)],
)
def test_short_rows_and_extreme_k_are_left_to_the_heap(num_keys, k, answer):
    assert is_filtered(num_keys, k) is answer


@pytest.mark.parametrize(("k", "num_keys"), [(1, 1), (5, 3), (32, 300)])
def test_pairs_of_ranks_that_can_be_among_the_best(k, num_keys):
    rows, columns = rank_pairs(k, num_keys)
    want = {
        (row, column)
        for row in range(num_keys)
        for column in range(num_keys)
        if (row + 1) * (column + 1) <= k
    }
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == want


@pytest.mark.parametrize("num_queries", [5, 40])
def test_the_search_for_gpus_finds_the_same_slots(num_queries, monkeypatch):
    # XLA's kernels for GPUs are not those for CPUs, but what surrounds them is the same.
    monkeypatch.setattr(slot_search, "compiles_for_cpu", lambda: False)
    monkeypatch.setattr(slot_search, "compiles_for_gpu", lambda: True)
    monkeypatch.setattr(slot_search, "_GPU_CHUNK", 16)
    scores = np.random.default_rng(0).normal(size=(2, num_queries, 12)).astype("float32")
    got = search_slots(given, tuple(map(tf.constant, scores)), (), 12, 6)
    for one, want in zip(got, best_slots(*scores, 6), strict=True):
        np.testing.assert_array_equal(one, want)


def given(row_scores, column_scores):
    return row_scores, column_scores
