import numpy as np

from lmn_tf.layers import PairMemory
from lmn_tf.training.inspection.pair_weights import PairWeights
from lmn_tf.training.inspection.pairs.pair_inspection import PairInspection
from lmn_tf.training.inspection.pairs.pair_names import PairNames
from lmn_tf.training.inspection.pairs.pair_report import draw_pairs, pair_text


def inspection(num_slots=None):
    memory, pairs = PairMemory(3, 4, num_slots), PairWeights()
    memory.build()
    values = [0.25, -0.5, 0.125, *9 * [0.0]][: memory.memory_size]
    memory.memory_values.assign(np.reshape(values, (-1, 1)))
    for event, candidate, reads in ((0, 0, 7.0), (0, 1, 1200.0), (2, 3, 1.0)):
        pairs.add(*(np.array([one]) for one in (event, candidate, reads)))
    return PairInspection("clicks_pairs", memory, pairs, PairNames(None, memory, None))


def words(lines):
    return [" ".join(line.split()) for line in lines]


def test_text_has_use_groups_and_pairs():
    one = inspection()
    text = pair_text({"model": "lmn_pair", "pairs": {one.name: one.figures()}})
    assert words(text.splitlines()) == [
        "lmn_pair: clicks_pairs",
        "12 slots (3 events x 4 candidates), 1,208 reads of 3 pairs",
        "slots never read: 75.0 %, with a value of 0: 75.0 %; norm of all values: 0.573",
        "",
        "reads slots mean length largest",
        "0 9 0.0139 0.1250",
        "1 1 0.0000 0.0000",
        "2 to 9 1 0.2500 0.2500",
        "1,000 or more 1 0.5000 0.5000",
        "",
        "largest values:",
        "value event candidate reads",
        "+0.2500 id 0 id 0 7",
        "+0.1250 id 0 id 2 0",
        "",
        "smallest values:",
        "value event candidate reads",
        "-0.5000 id 0 id 1 1,200",
    ]


def test_text_tells_that_slots_are_shared():
    one = inspection(num_slots=1)
    lines = words(pair_text({"model": "own", "pairs": {"a": one.figures()}}).splitlines())
    assert lines[1] == "1 slots (3 events x 4 candidates, hashed), 1,208 reads of 3 pairs"
    assert lines[-1] == "+0.2500 id 0 id 1 1,208 (with 2 other pairs)"


def test_a_picture_says_what_it_shows(tmp_path):
    one = inspection()
    figure = draw_pairs(one, one.figures())
    assert figure.get_suptitle() == "clicks_pairs: 75.0 % of 12 slots never read, norm 0.57"
    values, groups, pairs = figure.axes
    assert [one.get_text() for one in values.get_legend().get_texts()] == ["read: 3", "not read: 9"]
    assert [bar.get_height() for bar in groups.patches] == [0.125 / 9, 0, 0.25, 0.5]
    assert [one.get_text() for one in groups.texts] == ["9", "1", "1", "1"]
    labels = [one.get_text() for one in pairs.get_yticklabels()]
    assert labels == ["id 0 → id 0 (7)", "id 0 → id 2 (0)", "id 0 → id 1 (1,200)"]
    assert [one.get_text() for one in pairs.texts] == ["+0.250", "+0.125", "-0.500"]
    figure.savefig(tmp_path / "pairs.png")


def test_names_with_dollar_signs_are_drawn(tmp_path):
    one = inspection()
    pair = {"value": 0.5, "event": "A$AP", "candidate": "Ke$ha", "reads": 7}
    figure = draw_pairs(one, {**one.figures(), "largest": [pair], "smallest": []})
    figure.savefig(tmp_path / "names.png")
    assert figure.axes[2].get_yticklabels()[0].get_text() == r"A\$AP → Ke\$ha (7)"
