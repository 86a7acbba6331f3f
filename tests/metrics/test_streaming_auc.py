import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas
from sklearn.metrics import roc_auc_score

from lmn_tf.metrics import StreamingAUC


def pairs_auc(labels, scores, weights):
    """Looks at every pair: slow and obvious."""
    wins = total = 0.0
    for i in np.flatnonzero(labels == 1):
        for j in np.flatnonzero(labels == 0):
            wins += (
                weights[i] * weights[j] * ((scores[i] > scores[j]) + (scores[i] == scores[j]) / 2)
            )
            total += weights[i] * weights[j]
    return wins / total


@pytest.mark.parametrize("exact_rows", [0, 1_000])
def test_is_exact_where_all_ties_are_real(exact_rows):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 80)
    scores = rng.integers(-4, 5, 80) / 4
    weights = rng.integers(1, 4, 80).astype("float32")
    metric = StreamingAUC(exact_rows=exact_rows, dtype="float64")
    metric.update_state(labels, scores, weights)
    want = pairs_auc(labels, scores, weights)
    assert float(metric.result()) == pytest.approx(want, abs=1e-12)
    assert want == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights))


@pytest.mark.parametrize("num_bins", [64, 65536])
@pytest.mark.parametrize("scale", [0.3, 1.0, 40.0])
def test_the_rank_auc_lies_within_the_bound(num_bins, scale):
    rng = np.random.default_rng(1)
    labels = (rng.random(20_000) < 0.1).astype("float32")
    scores = (scale * (labels + rng.normal(size=20_000)) - 2).astype("float32")
    metric = StreamingAUC(num_bins, exact_rows=0, dtype="float64")
    for part in range(0, 20_000, 1_000):
        metric.update_state(labels[part : part + 1_000], scores[part : part + 1_000])
    error = abs(float(metric.result()) - roc_auc_score(labels, scores))
    assert error <= metric.error_bound() + 1e-12
    if num_bins == 65536 and scale <= 1.0:
        assert error < 1e-5 and metric.error_bound() < 2e-4


def drawn(count, seed, shift=0.0, scale=1.0, signal=0.5):
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.4).astype("float32")
    scores = scale * (rng.normal(size=count) + signal * labels) + shift
    return labels, scores.astype("float32")


@pytest.mark.parametrize("seed", range(10))
def test_few_rows_are_exact(seed):
    labels, scores = drawn(40, seed, scale=0.01)
    metric = StreamingAUC(dtype="float64")
    metric.update_state(labels[:25], scores[:25])
    metric.update_state(labels[25:], scores[25:])
    assert float(metric.result()) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert metric.is_exact and metric.error_bound() == 0.0


def test_more_rows_than_are_kept_are_binned_until_a_reset():
    labels, scores = drawn(40, 0)
    metric = StreamingAUC(exact_rows=30, dtype="float64")
    for start in range(0, 40, 10):
        metric.update_state(labels[start : start + 10], scores[start : start + 10])
        assert metric.is_exact == (start < 30)
    binned = StreamingAUC(exact_rows=0, dtype="float64")
    binned.update_state(labels, scores)
    assert float(metric.result()) == float(binned.result())
    metric.reset_state()
    metric.update_state(labels[:10], scores[:10])
    assert metric.is_exact


def near_ties(count=40, seed=0):
    """Rows with weights, ties, and scores that differ by less than a bin is wide."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count).astype("float32")
    scores = (1 + rng.integers(0, 9, count) * 2.0**-16).astype("float32")
    return labels, scores, rng.integers(1, 4, count).astype("float32")


@pytest.mark.parametrize("compiled", [False, True])
def test_few_rows_are_exact_in_graphs(compiled):
    rows = near_ties()
    metric, binned = StreamingAUC(dtype="float64"), StreamingAUC(exact_rows=0)
    update = tf.function(metric.update_state, jit_compile=compiled)
    for part in (slice(0, 25), slice(25, 40)):
        update(*(tf.constant(one[part]) for one in rows))
    binned.update_state(*rows)
    want = roc_auc_score(rows[0], rows[1], sample_weight=rows[2])
    assert abs(float(binned.result()) - want) > 1e-3
    assert metric.is_exact and metric.error_bound() == 0.0
    for result in (metric.result, tf.function(metric.result, jit_compile=compiled)):
        assert float(result()) == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("count", [2, 3])
def test_few_rows_are_exact_over_replicas(count):
    labels, scores, weights = near_ties()
    strategy = replicas(count)
    with strategy.scope():
        metric = StreamingAUC(dtype="float64")
    data = tf.data.Dataset.from_tensor_slices((labels, scores, weights)).batch(16)
    update = tf.function(lambda rows: strategy.run(metric.update_state, args=rows))
    for rows in strategy.experimental_distribute_dataset(data):
        update(rows)
    want = roc_auc_score(labels, scores, sample_weight=weights)
    assert float(metric.result()) == pytest.approx(want, abs=1e-12)


def test_more_rows_than_a_graph_keeps_are_binned():
    labels, scores = drawn(64, 0)
    metric = StreamingAUC(exact_rows=40, dtype="float64")
    tf.function(metric.update_state)(labels[:32], scores[:32])
    metric.update_state(labels[32:], scores[32:])
    assert not metric.is_exact
    binned = StreamingAUC(exact_rows=0, dtype="float64")
    binned.update_state(labels, scores)
    assert float(metric.result()) == float(binned.result())


def test_states_that_hold_rows_in_the_same_places_add_up_to_bins():
    labels, scores, weights = near_ties()
    metrics = [StreamingAUC(dtype="float64") for _ in range(4)]
    first, second, both, empty = metrics
    first.update_state(labels[:25], scores[:25], weights[:25])
    second.update_state(labels[25:], scores[25:], weights[25:])
    for sum_, others in ((both, (first, second)), (empty, (first, StreamingAUC()))):
        for index, variable in enumerate(sum_.variables):
            variable.assign(sum(one.variables[index] for one in others))
    binned = StreamingAUC(exact_rows=0, dtype="float64")
    binned.update_state(labels, scores, weights)
    assert not both.is_exact and float(both.result()) == float(binned.result())
    assert empty.is_exact and float(empty.result()) == float(first.result())


@pytest.mark.parametrize("shift", [-4000.0, -21.0, -17.0, 0.0, 15.0, 100.0, 1e5])
@pytest.mark.parametrize("scale", [0.5, 30.0])
def test_bins_follow_the_logits(shift, scale):
    labels, scores = drawn(20_000, 1, shift, scale * max(1.0, abs(shift) / 40))
    metric = StreamingAUC(exact_rows=0, dtype="float64")
    metric.update_state(labels, scores)
    error = abs(float(metric.result()) - roc_auc_score(labels, scores))
    assert error <= metric.error_bound() + 1e-12
    assert error < 1e-3 and metric.error_bound() < 2e-2


def test_bins_keep_the_order_of_logits():
    edges = np.array([2.0**k for k in range(-3, 23)])
    logits = np.concatenate([edges, np.nextafter(edges, 0), [0.0, np.inf, 1e38]])
    logits = np.sort(np.concatenate([-logits, logits]).astype("float32"))
    for num_bins in (2, 64, 65536):
        metric = StreamingAUC(num_bins)
        bins = metric._bins(tf.constant(logits)).numpy()
        assert (np.diff(bins) >= 0).all()
        assert bins[0] == 0 and bins[-1] == metric.histogram.shape[1] - 1
        compiled = tf.function(metric._bins, jit_compile=True)(tf.constant(logits))
        np.testing.assert_array_equal(compiled, bins)


def test_config():
    metric = StreamingAUC(64, exact_rows=7, label_index=1, name="x")
    again = StreamingAUC.from_config(metric.get_config())
    assert again.get_config() == metric.get_config()
    assert (again.num_bins, again.exact_rows) == (64, 7)
    assert isinstance(keras.metrics.deserialize(keras.metrics.serialize(metric)), StreamingAUC)


def test_the_order_is_all_that_counts():
    rng = np.random.default_rng(2)
    labels, scores = rng.integers(0, 2, 500), rng.integers(-9, 9, 500) / 2
    first, second = StreamingAUC(), StreamingAUC()
    first.update_state(labels, scores)
    second.update_state(labels, np.tanh(scores / 9) * 9)
    assert float(first.result()) == float(second.result())


def test_the_toy_example():
    labels = [1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0]
    scores = [0.9, 0.8, 0.1, 0.2, 0.7, 0.3, 0.4, 0.6, 0.6, 0.9, 0.1]
    metric = StreamingAUC(from_logits=False)
    metric.update_state(labels, scores)
    assert float(metric.result()) == pytest.approx(0.732143, abs=1e-6)


def test_infinite_scores_are_the_extremes():
    metric = StreamingAUC(from_logits=False)
    metric.update_state([1, 0, 1, 0], [1.0, 0.0, 0.5, 0.5])
    assert float(metric.result()) == 0.875


@pytest.mark.parametrize("labels", [[0.0, 0.0], [1.0, 1.0]])
def test_one_class_has_no_auc(labels):
    metric = StreamingAUC()
    metric.update_state(labels, [0.0, 1.0])
    assert np.isnan(float(metric.result())) and np.isnan(metric.error_bound())


def test_a_nan_score_is_not_passed_over():
    metric = StreamingAUC()
    metric.update_state([1, 0, 1], [0.0, 1.0, np.nan])
    assert np.isnan(float(metric.result()))
    metric.reset_state()
    metric.update_state([1, 0], [0.0, 1.0])
    assert float(metric.result()) == 0.0


def test_counts_past_what_float32_can_hold():
    metric = StreamingAUC(2, exact_rows=0, dtype="float64")
    metric.update_state([0.0, 1.0], [-1.0, 1.0], [2.0**24, 1.0])
    metric.update_state([0.0, 0.0], [1.0, -1.0], [1.0, 1.0])
    assert float(metric.result()) == pytest.approx(1 - 0.5 / (2**24 + 2), abs=1e-12)


def test_bins_must_be_a_power_of_two():
    with pytest.raises(ValueError, match="`num_bins` must be a power of two.*num_bins=1000"):
        StreamingAUC(1000)


def test_kept_rows_are_not_negative():
    with pytest.raises(ValueError, match="`exact_rows` must be 0 or more.*exact_rows=-1"):
        StreamingAUC(exact_rows=-1)


def test_counts_by_score_hold_every_row_once():
    rng = np.random.default_rng(0)
    logits = np.concatenate([rng.normal(0, 3, 500), [-1e4, 1e4]]).astype("float32")
    labels = (rng.random(502) < 0.3).astype("float32")
    metric = StreamingAUC()
    metric.update_state(labels, logits, np.full(502, 2.0, "float32"))
    probabilities, negatives, positives = metric.counts_by_score()
    assert positives.sum() == 2 * labels.sum() and negatives.sum() == 2 * (1 - labels).sum()
    assert np.all(np.diff(probabilities) >= 0)
    exact = 1 / (1 + np.exp(-logits.astype("float64").clip(-700)))
    repeated = np.repeat(probabilities, ((negatives + positives) / 2).astype(int))
    np.testing.assert_allclose(repeated, np.sort(exact), atol=1e-4)
