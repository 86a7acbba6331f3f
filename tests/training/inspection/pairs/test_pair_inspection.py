import collections

import numpy as np
import pytest
from tiny_run import inspected_pairs, known_pairs

from lmn_tf.layers import PairMemory
from lmn_tf.training.inspection.pair_weights import PairWeights
from lmn_tf.training.inspection.pairs.pair_inspection import PairInspection, inspect_pairs


class Names:
    """Stands in for `PairNames`."""

    def event(self, id_):
        return f"e{id_}"

    def candidate(self, id_):
        return f"c{id_}"


def inspection(values, read, num_slots=None):
    """Of a memory of 3 x 4 pairs, of which some were read: `{(event, candidate): reads}`."""
    memory, pairs = PairMemory(3, 4, num_slots, num_values=np.shape(values)[-1]), PairWeights()
    memory.build()
    memory.memory_values.assign(values)
    for (event, candidate), count in read.items():
        pairs.add(*(np.array([one]) for one in (event, candidate, float(count))))
    return memory, PairInspection("pairs", memory, pairs, Names())


def test_reads_agree_with_a_loop_over_rows():
    run = inspected_pairs()
    [one] = inspect_pairs(run)
    counts = collections.Counter(
        pair for features, _ in run.dataset() for row in known_pairs(features) for pair in row
    )
    memory = run.pairs["history_pairs"]
    want = np.zeros((memory.num_rows, memory.num_columns))
    for pair, count in counts.items():
        want[pair] = count
    np.testing.assert_array_equal(one.reads.reshape(want.shape), want)
    figures = one.figures(top=5)
    assert one.name == "history_pairs"
    assert (figures["reads"], figures["pairs_read"]) == (counts.total(), len(counts))
    table = memory.get_weights()[0][:, 0]
    assert figures["norm"] == pytest.approx(np.sqrt((table.astype("float64") ** 2).sum()))
    assert figures["zero_values"] == pytest.approx(100 * np.mean(table == 0))
    names = [str(name) for name in run.spec.vocabulary(run.spec.feature("item_id"))]
    for kind, order in (("largest", -table), ("smallest", table)):
        ranked = np.argsort(order, kind="stable")[:5]
        assert [pair["slot"] for pair in figures[kind]] == ranked.tolist()
        for slot, pair in zip(ranked, figures[kind], strict=True):
            event, candidate = divmod(slot, memory.num_columns)
            assert (pair["event"], pair["candidate"]) == (names[event - 2], names[candidate - 2])
            assert pair["value"] == pytest.approx(table[slot])
            assert pair["reads"] == counts[event, candidate]


def test_values_by_reads():
    values = np.zeros((12, 2))
    values[5], values[6], values[7], values[11] = (3.0, 4.0), (0.0, -1.0), (0.0, -2.0), (0.5, 0.0)
    _, one = inspection(values, {(1, 1): 1000, (1, 2): 2, (1, 3): 9})
    figures = one.figures()
    assert figures["by_reads"] == [
        {
            "from": 0,
            "to": 0,
            "slots": 9,
            "mean_length": pytest.approx(0.5 / 9),
            "largest_length": 0.5,
        },
        {"from": 2, "to": 9, "slots": 2, "mean_length": 1.5, "largest_length": 2.0},
        {"from": 1000, "to": None, "slots": 1, "mean_length": 5.0, "largest_length": 5.0},
    ]
    assert figures["never_read"] == pytest.approx(75.0) and figures["reads"] == 1011
    assert figures["norm"] == pytest.approx(np.sqrt(25 + 1 + 4 + 0.25))
    # Values are those of the first label.
    assert [(pair["slot"], pair["value"]) for pair in figures["largest"]] == [(5, 3.0), (11, 0.5)]
    assert figures["smallest"] == []


def test_hashed_slots_have_the_name_of_the_pair_that_reads_most():
    values = np.array([[0.5], [-1.0], [2.0]])
    read = {(1, 1): 3, (1, 2): 5, (2, 1): 4, (2, 2): 9, (2, 3): 1}
    memory, one = inspection(values, read, num_slots=3)
    slots = {pair: int(memory.slots(*pair)) for pair in read}
    figures = one.figures()
    assert figures["pairs_read"] == 5 and figures["memory_size"] == 3
    found = figures["largest"] + figures["smallest"]
    assert {pair["slot"] for pair in found} == set(slots.values())
    for pair in found:
        own = {key: count for key, count in read.items() if slots[key] == pair["slot"]}
        event, candidate = max(own, key=own.get)
        assert (pair["event"], pair["candidate"]) == (f"e{event}", f"c{candidate}")
        assert (pair["reads"], pair["other_pairs"]) == (sum(own.values()), len(own) - 1)
        assert pair["value"] == values[pair["slot"], 0]


def test_few_pairs_are_asked_for():
    values = np.arange(-6.0, 6.0)[:, None]
    figures = inspection(values, {})[1].figures(top=2)
    assert [pair["value"] for pair in figures["largest"]] == [5.0, 4.0]
    assert [pair["value"] for pair in figures["smallest"]] == [-6.0, -5.0]
    assert (figures["reads"], figures["never_read"]) == (0, 100.0)
