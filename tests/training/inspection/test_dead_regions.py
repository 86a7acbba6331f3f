import itertools

import numpy as np
import pytest

from lmn_tf.training.inspection.dead_regions import dead_regions, largest_rectangle


def sizes(cells):
    """Sizes of all rectangles of true cells."""
    rows, columns = cells.shape
    for top, left in itertools.product(range(rows), range(columns)):
        for bottom, right in itertools.product(range(top, rows), range(left, columns)):
            if cells[top : bottom + 1, left : right + 1].all():
                yield (bottom - top + 1) * (right - left + 1)


@pytest.mark.parametrize("seed", range(12))
def test_the_largest_rectangle_is_that_of_trying_all(seed):
    rng = np.random.default_rng(seed)
    cells = rng.random((rng.integers(1, 7), rng.integers(1, 7))) < rng.choice([0.3, 0.6, 0.9])
    found = largest_rectangle(cells)
    if found is None:
        assert not cells.any()
        return
    top, bottom, left, right = found
    assert cells[top : bottom + 1, left : right + 1].all()
    assert (bottom - top + 1) * (right - left + 1) == max(sizes(cells))


def test_rows_columns_and_a_rectangle_of_the_open_keys():
    grid = np.ones((5, 5))
    grid[1, :4] = grid[:4, 2] = grid[:, 4] = grid[4] = 0
    grid[2:4, 0:3] = 0
    regions = dead_regions(grid.reshape(-1), num_keys=5, open_keys=4)
    assert (regions["dead_rows"], regions["dead_columns"], regions["open_keys"]) == (1, 1, 4)
    assert regions["rectangle"] == {
        "first_row": 1,
        "last_row": 3,
        "first_column": 0,
        "last_column": 2,
        "slots": 9,
    }
    assert 1 <= regions["rectangle_by_chance"] < 9


def test_nothing_and_everything_read():
    regions = dead_regions(np.ones(9), 3, 3)
    assert regions["rectangle"] is None and regions["rectangle_by_chance"] == 0
    regions = dead_regions(np.zeros(9), 3, 3)
    assert regions["rectangle"]["slots"] == regions["rectangle_by_chance"] == 9


def test_many_keys_are_searched_in_blocks_and_none_is_beyond_the_last():
    grid = np.ones((600, 600))
    grid[301:, 99:] = 0  # blocks of 3 keys
    found = dead_regions(grid.reshape(-1), 600, 600)["rectangle"]
    assert (found["first_row"], found["last_row"]) == (303, 599)
    assert (found["first_column"], found["last_column"]) == (99, 599)
    assert found["slots"] == 297 * 501
