import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas
from sklearn.metrics import roc_auc_score

from lmn_tf.data.encoding.hashing import NO_GROUP
from lmn_tf.metrics import GroupedAUC

GROUPS = np.array([10, 10, 10, 20, 20, 30, 30, 40, 40, 40, 40])
LABELS = np.array([1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0], "float32")
SCORES = np.array([0.9, 0.8, 0.1, 0.2, 0.7, 0.3, 0.4, 0.6, 0.6, 0.9, 0.1], "float32")


def brute_force(groups, labels, scores, weight):
    """Group by group with scikit-learn: slow and obvious."""
    total = weights = 0.0
    for group in set(groups.tolist()):
        own = groups == group
        if len(set(labels[own])) == 2:
            counts = {"uniform": 1, "impressions": own.sum(), "clicks": labels[own].sum()}
            total += counts[weight] * roc_auc_score(labels[own], scores[own])
            weights += counts[weight]
    return total / weights


def random_rows(count=3_000, groups=200):
    rng = np.random.default_rng(0)
    return (
        rng.integers(0, groups, count),
        (rng.random(count) < 0.2).astype("float32"),
        rng.integers(0, 50, count).astype("float32"),
    )


@pytest.mark.parametrize(
    ("weight", "want"), [("uniform", 0.625), ("impressions", 0.722222), ("clicks", 0.6875)]
)
def test_the_toy_example(weight, want):
    metric = GroupedAUC(weight)
    metric.update_state(LABELS, SCORES, groups=GROUPS)
    assert float(metric.result()) == pytest.approx(want, abs=1e-6)
    found = metric.compute()
    assert found["value"] == found["by_weight"][weight]
    assert (found["groups"], found["skipped"], found["skipped_share"]) == (4, 1, 0.25)
    assert found["rows"] == 11


@pytest.mark.parametrize("spill_rows", [1, 100, 10_000])
@pytest.mark.parametrize("weight", ["uniform", "impressions", "clicks"])
def test_spilled_or_not_agrees_with_brute_force(spill_rows, weight):
    groups, labels, scores = random_rows()
    metric = GroupedAUC(weight, spill_rows=spill_rows)
    for start in range(0, len(groups), 170):
        part = slice(start, start + 170)
        metric.update_state(labels[part, None], scores[part, None], groups=groups[part])
        if start == 1_700:
            metric.compute()  # looking changes nothing
    want = brute_force(groups, labels, scores, weight)
    assert metric.compute()["value"] == pytest.approx(want, rel=1e-12)


def test_rows_without_a_group_are_left_out_and_counted():
    lost = np.array([10, NO_GROUP, 10, 20, 20, NO_GROUP, 30, 40, NO_GROUP, 40, 40])
    kept = lost != NO_GROUP
    with_lost, without = GroupedAUC(), GroupedAUC()
    with_lost.update_state(LABELS, SCORES, groups=lost)
    without.update_state(LABELS[kept], SCORES[kept], groups=lost[kept])
    assert with_lost.compute() == {**without.compute(), "ungrouped": 3}
    with_lost.reset_state()
    with_lost.update_state(LABELS, SCORES, groups=np.full(len(LABELS), NO_GROUP))
    found = with_lost.compute()
    assert np.isnan(found["value"])
    assert (found["groups"], found["rows"], found["ungrouped"]) == (0, 0, 11)


def test_the_order_of_rows_and_of_scores_alone_counts():
    groups, labels, scores = random_rows()
    shuffled = np.random.default_rng(1).permutation(len(groups))
    first, second = GroupedAUC(), GroupedAUC()
    first.update_state(labels, scores, groups=groups)
    second.update_state(labels[shuffled], np.exp(scores / 9)[shuffled], groups=groups[shuffled])
    assert first.compute() == second.compute()


def test_whole_weights_count_as_that_many_rows():
    groups, labels, scores = random_rows(500, 30)
    times = np.random.default_rng(1).integers(1, 4, 500)
    weighted, repeated = GroupedAUC(), GroupedAUC()
    weighted.update_state(labels, scores, times, groups=groups)
    repeated.update_state(
        *(np.repeat(c, times) for c in (labels, scores)), groups=np.repeat(groups, times)
    )
    assert float(weighted.result()) == pytest.approx(float(repeated.result()), rel=1e-6)


def test_no_group_left_is_nan():
    metric = GroupedAUC()
    assert np.isnan(float(metric.result())) and metric.compute()["groups"] == 0
    metric.update_state([1.0, 0.0], [0.1, 0.2], groups=[1, 2])
    assert np.isnan(float(metric.result()))
    assert metric.compute()["skipped_share"] == 1.0


def test_a_nan_score_is_not_passed_over_and_zeros_tie():
    metric = GroupedAUC()
    metric.update_state([1.0, 0.0], [-0.0, 0.0], groups=[1, 1])
    assert float(metric.result()) == 0.5
    metric.update_state([1.0], [np.nan], groups=[1])
    assert np.isnan(float(metric.result()))
    metric.reset_state()
    metric.update_state([1.0, 0.0], [1.0, 0.0], groups=[1, 1])
    assert float(metric.result()) == 1.0


def test_graphs_collect_rows_and_return_the_last_value():
    metric = GroupedAUC()

    @tf.function
    def step(labels, scores, groups):
        metric.update_state(labels, scores, groups=groups)
        return metric.result()

    assert np.isnan(float(step(LABELS[:, None], SCORES[:, None], GROUPS)))
    value = float(metric.result())
    assert value == pytest.approx(0.722222, abs=1e-6)
    metric.reset_state()
    assert float(step(LABELS, SCORES, GROUPS)) == value


@pytest.mark.slow  # quick: `test_label_metric.py`, and other metrics on two replicas
def test_fit_and_evaluate_on_two_replicas_use_all_rows():
    class Ranker(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)
            self.ranking = GroupedAUC(spill_rows=40)

        def call(self, inputs):
            return self.dense(inputs["x"])

        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            self.ranking.update_state(y, y_pred, sample_weight, groups=x["group"])
            return self.get_metrics_result()

    groups, labels, scores = random_rows(300, 20)
    inputs = {"x": scores[:, None] - 25, "group": groups}
    with replicas(2).scope():
        model = Ranker()
        model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    history = model.fit(
        inputs, labels, batch_size=64, verbose=0, validation_data=(inputs, labels)
    ).history
    found = model.evaluate(inputs, labels, batch_size=64, verbose=0, return_dict=True)
    predicted = model.predict(inputs, verbose=0)[:, 0]
    want = brute_force(groups, labels, predicted, "impressions")
    assert found["gauc"] == pytest.approx(want, rel=1e-6)
    assert history["val_gauc"][-1] == pytest.approx(want, rel=1e-6)
    assert model.ranking.compute()["rows"] == 300


def test_names_tell_the_weights_and_configs_keep_them():
    assert [GroupedAUC(w).name for w in ("impressions", "uniform")] == ["gauc", "qauc"]
    metric = GroupedAUC("uniform", spill_rows=7)
    assert GroupedAUC.from_config(metric.get_config()).get_config() == metric.get_config()


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="`weight` must be one of 'impressions'.*weight='rows'"):
        GroupedAUC("rows")
    with pytest.raises(ValueError, match="`spill_rows` must be a positive integer.*spill_rows=0"):
        GroupedAUC(spill_rows=0)
    with pytest.raises(ValueError, match="`groups` must be given to `gauc`"):
        GroupedAUC().update_state(LABELS, SCORES)
    with pytest.raises(ValueError, match="`groups` must have one entry for each of 11 rows"):
        GroupedAUC().update_state(LABELS, SCORES, groups=GROUPS[:3])
