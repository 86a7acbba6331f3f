import matplotlib
import numpy as np

from lmn_tf.callbacks.slot_grid import grid_image, slot_grid


def test_neighbors_are_added_up_in_large_memories():
    reads = np.arange(600.0**2)
    cells = slot_grid(reads, 600)
    assert cells.shape == (200, 200) and cells.sum() == reads.sum()
    assert cells[0, 0] == sum(row * 600 + column for row in range(3) for column in range(3))


def test_cells_are_bright_by_the_decade():
    reads = np.zeros(9)
    reads[:4] = 100.0, 1.0, 0.01, 0.0
    image = grid_image(reads, 3)
    assert image.shape == (258, 258, 3) and image.dtype == np.uint8
    shades = matplotlib.colormaps["viridis"]
    wanted = [shades(share, bytes=True)[:3] for share in (1.0, 1 / 3, 0.0)]
    np.testing.assert_array_equal(image[0, [0, 86, 172]], wanted)
    assert image[86, 0].tolist() == [255, 255, 255]


def test_a_memory_that_nothing_read_is_white():
    assert grid_image(np.zeros(4), 2).min() == 255
    assert grid_image(np.ones(300**2), 300).shape == (300, 300, 3)
