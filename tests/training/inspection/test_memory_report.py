import numpy as np

from lmn_tf.training.inspection.memory_inspection import MemoryInspection
from lmn_tf.training.inspection.memory_report import draw_memory, memory_text


def reader(value, share, lift):
    return {"value": value, "share": share, "lift": lift}


READERS = {
    "segment": [reader("3", 0.9, 2.5)],
    "item": [reader("shoes", 0.75, 4), reader("hat", 0.25, 1)],
}
SLOT = {"slot": 0, "row": 0, "column": 0, "share": 0.5, "value_norm": 1.5, "readers": READERS}


def test_use_and_slots():
    reads = np.array([4.0, 2, 2, 0, 0, 0, 0, 0, 0])
    one = MemoryInspection("clicks_memory", 3, 2, reads, np.ones(9), 8, [SLOT])
    none = MemoryInspection("buys_memory", 3, 3, 0 * reads, np.ones(9))
    report = {"model": "lmn", "memories": {o.name: o.figures() for o in (one, none)}}
    lines = memory_text(report).splitlines()
    assert lines[:3] == [
        "lmn: clicks_memory",
        "9 slots (3 x 3 keys) read by 8 queries",
        "slots used: 33.3 %, dead: 1, 5 closed",
    ]
    assert lines[4].startswith("50 % of the weight in 1 slots, 90 % of the weight in 3 slots, 99 ")
    assert lines[5] == (
        "keys without reads: 1 of 2 rows, 0 of 2 columns; largest unread rectangle: "
        "rows 1-1, columns 0-1, 2 slots (1 by chance)"
    )
    titles = "slot row column share length segment (share, lift) item (share, lift)"
    assert " ".join(lines[7].split()) == titles
    assert lines[8].endswith("  3: 90 % (x2.5)         shoes: 75 % (x4.0), hat: 25 % (x1.0)")
    assert lines[-1] == "9 slots, none of which was read"


def texts(figure):
    return [one.get_text() for axes in figure.axes for one in axes.texts]


def test_a_picture_says_what_it_shows():
    rng = np.random.default_rng(0)
    reads = rng.integers(0, 3, 49).astype("float64")
    figure = draw_memory(MemoryInspection("clicks", 7, 7, reads, rng.random(49), 5, [SLOT]))
    used = 100 * np.count_nonzero(reads) / 49
    assert figure.get_suptitle() == f"clicks: {used:.1f} % of 49 slots read by 5 queries"
    for axes in figure.axes:
        assert axes.get_xlabel() or axes.get_ylabel()  # of a color bar one
    assert "segment 3: 90 % (x2.5)   item shoes: 75 % (x4.0)" in texts(figure)
    grid = next(axes for axes in figure.axes if axes.get_ylabel() == "row key")
    assert len(grid.patches) == 1 and "largest unread rectangle" in grid.get_xlabel()


def test_a_picture_of_no_reads(tmp_path):
    figure = draw_memory(MemoryInspection("none", 7, 7, np.zeros(49), np.ones(49)))
    assert figure.get_suptitle() == "none: no slot read"
    figure.savefig(tmp_path / "none.png")


def test_a_picture_of_many_keys(tmp_path):
    reads = np.zeros(300 * 300)
    reads[:7] = 1.0
    figure = draw_memory(MemoryInspection("many", 300, 300, reads, np.ones(300 * 300), 7, [SLOT]))
    figure.savefig(tmp_path / "many.png")
    grid = next(axes for axes in figure.axes if axes.get_ylabel() == "row key")
    assert grid.images[0].get_extent() == [-0.5, 299.5, 299.5, -0.5]


def test_names_with_dollar_signs_are_drawn(tmp_path):
    names = {feature: [reader("A$AP, Ke$ha", 0.5, 2)] for feature in ("item", "segment")}
    slot = {**SLOT, "readers": names}
    figure = draw_memory(MemoryInspection("clicks", 3, 3, np.ones(9), np.ones(9), 9, [slot]))
    figure.savefig(tmp_path / "names.png")
    assert r"item A\$AP, Ke\$ha: 50 % (x2.0)   segment A\$AP, Ke\$ha: 50 % (x2.0)" in texts(figure)
