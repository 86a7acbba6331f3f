import collections

import numpy as np
import pytest
from tiny_run import inspected_pairs, known_pairs

from lmn_tf.specs.errors import UserError
from lmn_tf.training.inspection.pairs.row_pairs import row_pairs


@pytest.mark.parametrize("pooling", ["sum", "mean", "sqrtn"])
def test_events_add_their_values_to_the_logit(pooling, monkeypatch):
    run = inspected_pairs()
    memory = run.pairs["history_pairs"]
    monkeypatch.setattr(memory, "pooling", pooling)
    table = memory.get_weights()[0]
    user, item = run.names.users[40], run.names.items[40]
    found = row_pairs(run, user, item, top=100)
    one = found["pairs"]["history_pairs"]
    np.testing.assert_array_equal(memory.get_weights()[0], table)

    row = run.names.of_pair(user, item)[-1]
    [features] = run.kept_rows(np.arange(len(run.names.users)) == row)
    [pairs] = known_pairs(features)
    length = int(features["history/length"][0])
    times = collections.Counter(pairs)
    names = [str(name) for name in run.spec.vocabulary(run.spec.feature("item_id"))]
    over = {"sum": 1, "mean": length, "sqrtn": np.sqrt(length)}[pooling]
    wanted = {}
    for (event, candidate), count in times.items():
        value = table[event * memory.num_columns + candidate, 0]
        wanted[names[event - 2]] = count, value, count * value / over
    got = {
        event["event"]: (event["times"], event["value"], event["adds"])
        for event in one["top_events"]
    }
    assert got.keys() == wanted.keys() and (one["events"], one["known"]) == (length, len(pairs))
    for name in wanted:
        assert got[name] == pytest.approx(wanted[name], rel=1e-5, abs=1e-6)
    sizes = [abs(event["adds"]) for event in one["top_events"]]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > 0

    total = sum(adds for _, _, adds in wanted.values())
    assert found["logit"] - one["without"]["logit"] == pytest.approx(total, rel=1e-3, abs=1e-6)
    memory.memory_values.assign(0 * table)
    try:
        logit = float(run.evaluator.model(features, training=False)[0, 0])
    finally:
        memory.memory_values.assign(table)
    assert one["without"]["logit"] == pytest.approx(logit, rel=1e-5)
    assert found["label"] == "click" and found["rows"] == len(run.names.of_pair(user, item))


def test_few_events_are_asked_for():
    run = inspected_pairs()
    user, item = run.names.users[40], run.names.items[40]
    both = [row_pairs(run, user, item, top)["pairs"]["history_pairs"] for top in (1, 100)]
    assert both[0]["top_events"] == both[1]["top_events"][:1]
    assert both[0]["without"] == both[1]["without"]


def test_an_unknown_item_is_refused():
    run = inspected_pairs()
    with pytest.raises(UserError, match="`--item` must name an item of the first 200 rows"):
        row_pairs(run, run.names.users[40], "nothing")
