import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from slot_twins import best_slots, score_slots

from lmn_tf.ops import plain_kernels, product_key_top_k


@pytest.mark.parametrize("k", [1, 2, 7, 11, 40, 121])
def test_agrees_with_scoring_every_slot(run_mode, k):
    rng = np.random.default_rng(7)
    rows, columns = rng.normal(size=(2, 5, 11)).astype("float32")
    scores, slots = run_mode(lambda r, c: product_key_top_k(r, c, k=k))(rows, columns)
    want_scores, want_slots = best_slots(rows, columns, k)
    np.testing.assert_array_equal(scores, want_scores)
    np.testing.assert_array_equal(slots, want_slots)
    assert slots.dtype == tf.int32


@settings(max_examples=60)
@given(st.integers(1, 12), st.integers(1, 144), st.integers(0, 10_000))
def test_is_exact_for_any_size_and_lowest_slots_win_ties(num_keys, k, seed):
    k = min(k, num_keys**2)
    rng = np.random.default_rng(seed)
    # Few distinct values, negative zero among them: nearly every score is tied.
    rows, columns = rng.integers(-2, 3, size=(2, 4, num_keys)) * np.float32(-0.5)
    scores, slots = product_key_top_k(rows, columns, k)
    want_scores, want_slots = best_slots(rows, columns, k)
    np.testing.assert_array_equal(scores, want_scores)
    np.testing.assert_array_equal(slots, want_slots)


def test_rounding_ties_keep_the_scores_exact():
    # 1e8 + 1 and 1e8 + 2 are one float32: different pairs tie by rounding only.
    rng = np.random.default_rng(3)
    rows = (1e8 + 8 * rng.integers(0, 2, size=(50, 6))).astype("float32")
    columns = rng.normal(size=(50, 6)).astype("float32")
    scores, slots = (t.numpy() for t in product_key_top_k(rows, columns, 5))
    np.testing.assert_array_equal(scores, best_slots(rows, columns, 5)[0])
    tied = scores[:, 1:] == scores[:, :-1]
    assert (slots[:, 1:] > slots[:, :-1])[tied].all()
    assert all(len(set(row)) == 5 for row in slots)


@pytest.mark.parametrize("shape", [(6,), (2, 6), (2, 3, 6), (2, 0, 3, 6)])
def test_takes_any_leading_shape(run_mode, shape):
    rng = np.random.default_rng(1)
    rows, columns = rng.normal(size=(2, *shape)).astype("float32")
    scores, slots = run_mode(lambda r, c: product_key_top_k(r, c, k=4))(rows, columns)
    want_scores, want_slots = best_slots(rows, columns, 4)
    np.testing.assert_array_equal(scores, want_scores)
    np.testing.assert_array_equal(slots, want_slots)


def test_shapes_are_static_where_inputs_are():
    @tf.function(input_signature=[tf.TensorSpec([None, 3, 9])] * 2)
    def search(rows, columns):
        scores, slots = product_key_top_k(rows, columns, 5)
        assert scores.shape.as_list() == slots.shape.as_list() == [None, 3, 5]
        return scores

    assert search(tf.zeros([2, 3, 9]), tf.zeros([2, 3, 9])).shape == (2, 3, 5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions(run_mode, dtype):
    rng = np.random.default_rng(2)
    rows, columns = (tf.cast(x, dtype) for x in rng.normal(size=(2, 20, 9)))
    scores, slots = run_mode(lambda r, c: product_key_top_k(r, c, k=6))(rows, columns)
    # Half precisions are searched in float32, where these sums are exact.
    wide = "float64" if dtype == "float64" else "float32"
    want = best_slots(tf.cast(rows, wide).numpy(), tf.cast(columns, wide).numpy(), 6)
    np.testing.assert_array_equal(slots, want[1])
    assert scores.dtype == dtype
    np.testing.assert_array_equal(scores, tf.cast(want[0], dtype))


def test_float64_ties_go_to_the_lowest_slot():
    rows, columns = np.random.default_rng(5).integers(0, 2, size=(2, 30, 7)).astype("float64")
    scores, slots = product_key_top_k(rows, columns, 9)
    want_scores, want_slots = best_slots(rows, columns, 9)
    np.testing.assert_array_equal(scores, want_scores)
    np.testing.assert_array_equal(slots, want_slots)


def test_infinite_scores_are_ordered():
    rows = np.array([[-np.inf, 0.0, 1.0]], "float32")
    columns = np.array([[np.inf, 0.0, 2.0]], "float32")
    scores, slots = product_key_top_k(rows, columns, 6)
    np.testing.assert_array_equal(scores, [[np.inf, np.inf, 3.0, 2.0, 1.0, 0.0]])
    np.testing.assert_array_equal(slots, [[3, 6, 8, 5, 7, 4]])


def test_gradient_reaches_selected_scores_only(run_mode):
    rng = np.random.default_rng(4)
    rows, columns = rng.normal(size=(2, 3, 8)).astype("float32")
    upstream = rng.normal(size=(3, 5)).astype("float32")

    def gradients(r, c):
        with tf.GradientTape() as tape:
            tape.watch([r, c])
            scores, _ = product_key_top_k(r, c, 5)
            loss = tf.reduce_sum(scores * upstream)
        return tape.gradient(loss, [r, c])

    row_gradient, column_gradient = run_mode(gradients)(tf.constant(rows), tf.constant(columns))
    _, slots = best_slots(rows, columns, 5)
    want_rows, want_columns = np.zeros((2, 3, 8))
    for query in range(3):
        for place, slot in enumerate(slots[query]):
            want_rows[query, slot // 8] += upstream[query, place]
            want_columns[query, slot % 8] += upstream[query, place]
    np.testing.assert_allclose(row_gradient, want_rows, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(column_gradient, want_columns, rtol=1e-6, atol=1e-6)


def test_two_axis_activation_of_the_paper():
    scores, slots = product_key_top_k([[2.0, 0.0]], [[1.0, 0.0]], k=4)
    np.testing.assert_array_equal(scores, [[3.0, 2.0, 1.0, 0.0]])
    np.testing.assert_array_equal(slots, [[0, 1, 2, 3]])


@pytest.mark.parametrize("k", [0, 10, -1, 2.0])
def test_k_out_of_range(k):
    with pytest.raises(ValueError, match=rf"`k` must be an integer from 1 .* 9\. Received: k={k}"):
        product_key_top_k(tf.zeros([1, 3]), tf.zeros([1, 3]), k)


def test_axes_must_agree():
    with pytest.raises(ValueError, match=r"must be equally many, and known: axis -1. Rec"):
        product_key_top_k(tf.zeros([1, 3]), tf.zeros([1, 4]), 2)


@pytest.mark.parametrize(
    ("rows", "columns"), [((3, 2, 5), (2, 3, 5)), ((6, 5), (2, 3, 5)), ((4, 5), (1, 5))]
)
def test_shapes_must_agree(rows, columns):
    with pytest.raises(ValueError, match=r"must have one shape. Received: row_scores.shape=\("):
        product_key_top_k(tf.zeros(rows), tf.zeros(columns), 2)


def test_scores_must_have_an_axis():
    with pytest.raises(ValueError, match=r"`row_scores` and `column_scores` must have an axis of"):
        product_key_top_k(1.0, 2.0, 1)


def test_slots_must_fit_int32():
    with pytest.raises(ValueError, match="at most 46340 keys an axis"):
        product_key_top_k(tf.zeros([1, 46341]), tf.zeros([1, 46341]), 2)


# Long enough rows, and enough of them, to be searched in chunks that XLA compiles.
LONG = {"num_keys": 70, "k": 9, "queries": 700}


def long_example(kind):
    rng = np.random.default_rng(8)
    scores = rng.normal(size=(2, LONG["queries"], LONG["num_keys"])).astype("float32")
    if kind == "ties":
        scores = np.round(scores * 2) / 2 * np.float32(-1.0)  # negative zeros among them
    elif kind == "one score":
        scores[:, ::2] = 0.0
    elif kind == "extremes":
        scores[scores < -2] = -np.inf
        scores[:, ::3][np.abs(scores[:, ::3]) < 0.1] = np.nan
        scores[:, 5] = np.nan
    return scores


def check_long(search, rows, columns):
    scores, slots = search(rows, columns)
    want_scores, want_slots = best_slots(rows, columns, LONG["k"])
    np.testing.assert_array_equal(scores, want_scores)
    np.testing.assert_array_equal(slots, want_slots)


@pytest.fixture(scope="module")
def compiled_search():
    """Inside XLA, without a number of rows that is known when it is traced."""
    signature = [tf.TensorSpec([None, LONG["num_keys"]])] * 2
    search = tf.function(
        lambda r, c: product_key_top_k(r, c, LONG["k"]), signature, jit_compile=True
    )
    program = search.experimental_get_compiler_ir(*long_example("plain"))("hlo")
    assert "popcnt" in program  # it counts
    return search


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("kind", ["plain", "ties", "one score", "extremes"])
def test_many_long_rows_are_searched_exactly(kind, compiled_search):
    rows, columns = long_example(kind)
    check_long(lambda r, c: product_key_top_k(r, c, LONG["k"]), rows, columns)
    check_long(compiled_search, rows, columns)


@pytest.mark.parametrize("queries", [0, 1, 255, 256, 511, 513])
def test_any_number_of_long_rows(queries):
    rows, columns = long_example("plain")[:, :queries]
    check_long(tf.function(lambda r, c: product_key_top_k(r, c, LONG["k"])), rows, columns)


@pytest.mark.parametrize("equal_rows", [0, 1, 64, 65, 200])
def test_rows_that_counting_leaves_inside_xla(equal_rows, compiled_search):
    """None of them, so few that they are searched by themselves, and so many that all are."""
    rows, columns = long_example("plain")[:, :200]
    rows[::-1][:equal_rows] = 1.0
    check_long(compiled_search, rows, columns)


@pytest.mark.parametrize("queries", [0, 1])
def test_hardly_a_long_row_inside_xla(queries, compiled_search):
    check_long(compiled_search, *long_example("one score")[:, :queries])


def test_plain_kernels_find_the_same_slots():
    rows, columns = long_example("ties")
    with plain_kernels():
        scores, slots = tf.function(lambda r, c: product_key_top_k(r, c, LONG["k"]))(rows, columns)
    want_scores, want_slots = product_key_top_k(rows, columns, LONG["k"])
    np.testing.assert_array_equal(scores, want_scores)
    np.testing.assert_array_equal(slots, want_slots)


@pytest.mark.parametrize("seed", range(3))
def test_nan_and_infinite_scores(run_mode, seed):
    rng = np.random.default_rng(seed)
    rows, columns = rng.normal(size=(2, 6, 7)).astype("float32")
    for value in (np.nan, -np.inf, np.inf):
        rows[rng.random(rows.shape) < 0.15] = value
        columns[rng.random(columns.shape) < 0.15] = value
    found = run_mode(lambda r, c: product_key_top_k(r, c, 30))(rows, columns)
    scores, slots = (one.numpy() for one in found)
    want_scores, want_slots = best_slots(rows, columns, 30)
    np.testing.assert_array_equal(scores, want_scores)
    # All sums with an infinite score are alike: there, any slots of that score may stand.
    is_finite = np.isfinite(want_scores)
    np.testing.assert_array_equal(slots[is_finite], want_slots[is_finite])
    by_slot = score_slots(rows, columns)
    np.testing.assert_array_equal(np.take_along_axis(by_slot, slots, 1), scores)
    tied = want_scores[:, 1:] == want_scores[:, :-1]
    assert (slots[:, 1:] > slots[:, :-1])[tied].all()  # so none stands twice


def test_runs_in_each_replica():
    rows, columns = np.random.default_rng(3).normal(size=(2, 8, 9)).astype("float32")
    devices = [device.name for device in tf.config.list_logical_devices("CPU")[:2]]
    strategy = tf.distribute.MirroredStrategy(devices)
    parts = [
        strategy.experimental_distribute_values_from_function(
            lambda replica, part=part: tf.constant(part[4 * replica.replica_id_in_sync_group :][:4])
        )
        for part in (rows, columns)
    ]
    run = tf.function(lambda r, c: strategy.run(product_key_top_k, (r, c, 5)))
    found = [strategy.experimental_local_results(one) for one in run(*parts)]
    for got, want in zip(found, best_slots(rows, columns, 5), strict=True):
        np.testing.assert_array_equal(np.concatenate(got), want)
