import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf.metrics import MemoryUsage, usage_statistics


def slow_statistics(reads):
    """One slot at a time: slow and obvious."""
    share = sorted((float(r) / sum(reads) for r in reads), reverse=True)
    size = len(share)
    found = {
        "used": 100 * sum(s > 0 for s in share) / size,
        "kl": sum(s * np.log(s * size) for s in share if s > 0),
        "gini": 1 - 2 * np.mean([sum(share[size - 1 - i :]) for i in range(size)]),
    }
    for percent in (50, 90, 99):
        count = 1
        while sum(share[:count]) < percent / 100 - 1e-12:
            count += 1
        found[f"top{percent}"] = count
    return found


def test_the_oracle():
    found = usage_statistics([4, 2, 2, 0])
    assert found["used"] == 75.0
    assert found["kl"] == pytest.approx(0.346574, abs=1e-6)


@pytest.mark.parametrize(
    ("reads", "kl", "top99"), [(np.ones(100), 0.0, 99), (np.eye(100)[3], np.log(100), 1)]
)
def test_even_and_collapsed_use_are_the_extremes(reads, kl, top99):
    found = usage_statistics(reads)
    assert found["kl"] == pytest.approx(kl, abs=1e-9)
    assert found["top99"] == top99


@pytest.mark.parametrize("by", ["weights", "counts"])
def test_streams_and_agrees_with_slot_by_slot(by):
    rng = np.random.default_rng(0)
    metric = MemoryUsage(25, by=by, dtype="float64")
    reads = np.zeros(25)
    update = tf.function(metric.update_state)
    for _ in range(4):
        slots = rng.integers(0, 18, (3, 5, 2, 4)).astype("int32")
        weights = rng.random(slots.shape).astype("float32")
        mask = rng.random((3, 5)) < 0.6
        update(slots, weights, mask)
        for place in zip(*np.nonzero(mask), strict=True):
            np.add.at(reads, slots[place], weights[place] if by == "weights" else 1.0)
    want = slow_statistics(reads)
    found = {key.removeprefix("memory_"): float(v) for key, v in metric.result().items()}
    assert found.keys() == want.keys() == metric.compute().keys()
    for key, value in want.items():
        assert found[key] == pytest.approx(value, rel=1e-6)
        assert metric.compute()[key] == pytest.approx(value, rel=1e-6)


def test_a_share_that_is_exactly_held_needs_no_further_slot():
    # A tenth nine times is a little less than nine tenths.
    metric = MemoryUsage(10)
    metric.update_state(np.arange(10))
    found = {key.removeprefix("memory_"): float(v) for key, v in metric.result().items()}
    for one in (metric.compute(), found):
        assert [one["top50"], one["top90"], one["top99"]] == [5, 9, 10]


def test_padding_counts_for_nothing_even_if_broken():
    metric = MemoryUsage(4)
    metric.update_state([[0, 1], [2, 3]], [[0.5, 0.5], [np.nan, 1.0]], mask=[True, False])
    assert metric.compute()["used"] == 50.0


def test_nothing_read_is_nan_and_reset_forgets():
    metric = MemoryUsage(4, name="slots")
    metric.update_state([[0, 1]])
    metric.reset_state()
    assert all(np.isnan(value) for value in metric.compute().values())
    assert all(np.isnan(float(value)) for value in metric.result().values())
    assert "slots_used" in metric.result()


def test_replicas_add_up():
    strategy = replicas(2)
    with strategy.scope():
        metric = MemoryUsage(4, by="counts")
    slots = tf.constant([[0, 1], [0, 2], [0, 1], [0, 2]])
    parts = strategy.experimental_distribute_dataset(
        tf.data.Dataset.from_tensors(slots).unbatch().batch(4)
    )
    for part in parts:
        strategy.run(metric.update_state, (part,))
    assert metric.compute()["used"] == 75.0
    assert metric.compute()["kl"] == pytest.approx(0.346574, abs=1e-6)


def test_the_config_makes_the_same_metric():
    metric = MemoryUsage(9, by="counts", name="mine")
    assert MemoryUsage.from_config(metric.get_config()).get_config() == metric.get_config()


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`memory_size` must be a positive integer.*=0"):
        MemoryUsage(0)
    with pytest.raises(ValueError, match="`by` must be 'weights' or 'counts'.*by='reads'"):
        MemoryUsage(4, by="reads")
