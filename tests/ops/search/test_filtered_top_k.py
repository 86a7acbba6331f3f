import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops.search.counting import filtered_top_k, from_sortable, num_places


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("width", "k"), [(70, 9), (64, 32), (65, 2), (700, 17), (150, 64)], ids=lambda n: str(n)
)
def test_agrees_with_sorting(width, k):
    scores = np.random.default_rng(width).normal(size=(300, width)).astype("float32")
    scores[::3] = np.round(scores[::3] * 4) / 4
    # The same numbers as a graph as under XLA, without the time that compiling takes.
    keys, ids, is_left = tf.function(lambda s: filtered_top_k(s, k))(scores)
    done = ~is_left.numpy()
    assert done.mean() > 0.6
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(ids.numpy()[done], order[done])
    best = np.take_along_axis(scores, order, axis=1)
    np.testing.assert_array_equal(from_sortable(keys).numpy()[done], best[done])


def test_compiled_by_xla():
    scores = np.random.default_rng(0).normal(size=(40, 130)).astype("float32")
    search = tf.function(lambda s: filtered_top_k(s, 8))
    compiled = tf.function(lambda s: filtered_top_k(s, 8), jit_compile=True)
    for got, want in zip(compiled(scores), search(scores), strict=True):
        np.testing.assert_array_equal(got, want)


def test_rows_of_equal_scores_are_left():
    scores = np.random.default_rng(0).normal(size=(4, 100)).astype("float32")
    scores[2] = 1.0
    assert filtered_top_k(tf.constant(scores), 8)[2].numpy().tolist() == [False, False, True, False]


def test_few_rows_of_random_scores_are_left():
    scores = tf.random.stateless_normal([20_000, 200], seed=[1, 2])
    *_, is_left = tf.function(lambda s: filtered_top_k(s, 16))(scores)
    assert is_left.numpy().mean() < 2e-3


@pytest.mark.parametrize(("k", "places"), [(8, 24), (16, 40), (32, 64)])
def test_places_for_the_scores_that_reach_the_bound(k, places):
    assert num_places(k) == places
