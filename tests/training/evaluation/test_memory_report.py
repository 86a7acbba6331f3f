import numpy as np

from lmn_tf.training.evaluation.memory_inspection import MemoryInspection
from lmn_tf.training.evaluation.memory_report import draw_memory, memory_text


def test_use_and_slots():
    readers = {"item": [{"value": "shoes", "share": 0.75}, {"value": "hat", "share": 0.25}]}
    slot = {"slot": 0, "row": 0, "column": 0, "share": 0.5, "value_norm": 1.5, "readers": readers}
    reads = np.array([4.0, 2, 2, 0, 0, 0, 0, 0, 0])
    one = MemoryInspection("clicks_memory", 3, 2, reads, np.ones(9), 8, [slot])
    none = MemoryInspection("buys_memory", 3, 3, 0 * reads, np.ones(9))
    report = {"model": "lmn", "memories": {o.name: o.figures() for o in (one, none)}}
    lines = memory_text(report).splitlines()
    assert lines[:3] == [
        "lmn: clicks_memory",
        "9 slots (3 x 3 keys) read by 8 queries",
        "slots used: 33.3 %, dead: 1, 5 closed",
    ]
    assert lines[4].startswith("50 % of the weight in 1 slots, 90 % of the weight in 3 slots, 99 ")
    assert lines[6].split() == ["slot", "row", "column", "share", "length", "item", "(share)"]
    assert lines[7].endswith("50.00 %  1.50    shoes 75 %, hat 25 %")
    assert lines[-1] == "9 slots, none of which was read"


def test_a_picture_of_use_and_of_none(tmp_path):
    rng = np.random.default_rng(0)
    reads = rng.integers(0, 3, 49).astype("float64")
    for name, one in (("some", reads), ("none", 0 * reads)):
        inspection = MemoryInspection(name, 7, 7, one, rng.random(49))
        draw_memory(inspection, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes()[1:4] == b"PNG"
