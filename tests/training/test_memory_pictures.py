import numpy as np

from lmn_tf.training.memory_inspection import MemoryInspection
from lmn_tf.training.memory_pictures import _cells, draw_memory


def test_a_picture_of_use_and_of_none(tmp_path):
    rng = np.random.default_rng(0)
    reads = rng.integers(0, 3, 49).astype("float64")
    for name, one in (("some", reads), ("none", 0 * reads)):
        inspection = MemoryInspection(name, 7, 7, one, rng.random(49))
        draw_memory(inspection, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes()[1:4] == b"PNG"


def test_neighbours_are_added_up_in_large_memories():
    reads = np.arange(600.0**2)
    cells = _cells(reads, 600)
    assert cells.shape == (200, 200) and cells.sum() == reads.sum()
    assert cells[0, 0] == sum(row * 600 + column for row in range(3) for column in range(3))
