import contextlib
import functools

import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops import plain_kernels, product_key_search, product_key_top_k


def example(num_queries=6, num_keys=9, width=4):
    rng = np.random.default_rng(0)
    # Whole numbers: every order of adding gives the same score.
    return tuple(
        tf.constant(rng.integers(-9, 9, (count, width)), tf.float32)
        for count in (num_queries, num_queries, num_keys, num_keys)
    )


def twin(row_queries, column_queries, row_keys, column_keys, k):
    return product_key_top_k(
        row_queries @ tf.transpose(row_keys), column_queries @ tf.transpose(column_keys), k
    )


def with_gradients(search, tensors, k):
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        scores, slots = search(*tensors, k)
        loss = tf.reduce_sum(scores * tf.cos(tf.cast(slots, tf.float32)))
    return scores, slots, *tape.gradient(loss, tensors)


# The last is searched in chunks, which take seconds to compile: in the quick tests those of
# `test_closed_keys_are_as_if_they_were_not_there`.
@pytest.mark.parametrize(
    ("num_queries", "num_keys", "k"),
    [
        *((queries, 9, k) for queries in (6, 1, 0) for k in (1, 5, 12)),
        pytest.param(600, 60, 12, marks=pytest.mark.slow),
    ],
)
def test_agrees_with_the_search_of_scores(num_queries, num_keys, k):
    tensors = example(num_queries, num_keys)
    run = tf.function(lambda *t: with_gradients(product_key_search, t, k))
    for got, want in zip(run(*tensors), with_gradients(twin, tensors, k), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-4)


def test_every_mode_agrees(run_mode):
    tensors = example()
    got = run_mode(lambda *t: with_gradients(product_key_search, t, 5))(*tensors)
    for one, want in zip(got, with_gradients(twin, tensors, 5), strict=True):
        np.testing.assert_allclose(one, want, rtol=1e-5, atol=1e-4)


def test_plain_kernels_agree():
    tensors = example()
    with plain_kernels():
        got = tf.function(lambda *t: with_gradients(product_key_search, t, 5))(*tensors)
    for one, want in zip(got, with_gradients(twin, tensors, 5), strict=True):
        np.testing.assert_allclose(one, want, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("num_queries", "num_keys"), [(6, 9), (600, 60)])
@pytest.mark.parametrize("kernels", [contextlib.nullcontext, plain_kernels])
def test_closed_keys_are_as_if_they_were_not_there(num_queries, num_keys, kernels):
    tensors, count = example(num_queries, num_keys), num_keys // 2

    def closed(*tensors_and_k):
        return product_key_search(*tensors_and_k, open_keys=tf.constant(count))

    with kernels():
        got = tf.function(lambda *t: with_gradients(closed, t, 5))(*tensors)
        held = (*tensors[:2], *(keys[:count] for keys in tensors[2:]))
        scores, slots = product_key_search(*held, 5)
    slots = slots // count * num_keys + slots % count
    np.testing.assert_array_equal(got[0], scores)
    np.testing.assert_array_equal(got[1], slots)
    for gradient in got[4:]:
        assert np.abs(gradient[:count]).sum() > 0 and not np.any(gradient[count:])


def test_closed_keys_fill_up_at_minus_infinity():
    search = functools.partial(product_key_search, open_keys=1)
    scores, slots, *gradients = with_gradients(
        lambda *t: (lambda found: (tf.nn.softmax(found[0]), found[1]))(search(*t)), example(), 3
    )
    np.testing.assert_array_equal(scores, [[1, 0, 0]] * 6)
    np.testing.assert_array_equal(slots[:, 0], 0)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


def test_k_out_of_range():
    with pytest.raises(ValueError, match=r"`k` must be an integer from 1 .* 81. Received: k=82"):
        product_key_search(*example(), 82)


def test_axes_must_agree():
    row_queries, column_queries, row_keys, column_keys = example()
    with pytest.raises(ValueError, match="`row_keys` and `column_keys` must be equally many"):
        product_key_search(row_queries, column_queries, row_keys, column_keys[:3], 2)


@pytest.mark.parametrize(("place", "shape"), [(0, (6, 3)), (1, (5, 4)), (0, (4,))])
def test_queries_must_fit(place, shape):
    tensors = list(example())
    tensors[place] = tf.zeros(shape)
    name = ("row_queries", "column_queries")[place]
    with pytest.raises(ValueError, match=f"`{name}` must be one for each query and as wide as the"):
        product_key_search(*tensors, 3)
