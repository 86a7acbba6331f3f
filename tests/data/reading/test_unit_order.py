import numpy as np
import pyarrow as pa
import pytest

from lmn_tf.data.formats.unit import Unit
from lmn_tf.data.reading.row_limit import RowLimit
from lmn_tf.data.reading.unit_order import UnitOrder


class Numbers(Unit):
    """A unit of some consecutive numbers."""

    def __init__(self, first, count):
        super().__init__(__file__, ["x"], first)
        self.count = count

    @property
    def rows(self):
        return self.count

    def _stream(self, columns, skip):
        numbers = list(range(self.first_row + skip, self.first_row + self.count))
        yield pa.table({"x": numbers})


UNITS = [Numbers(0, 5), Numbers(5, 3), Numbers(8, 9), Numbers(17, 4)]


def numbers(order, epoch=0, skip=0):
    found = []
    for _, table, row in order.tables(epoch, skip, ["x"]):
        values = table["x"].to_pylist()
        # A number is that of the first row.
        assert values == np.ravel(row).tolist() if np.ndim(row) else values[0] == row
        found += values
    return found


def test_plain_order_and_skipping():
    order = UnitOrder(UNITS, False, 0, 4, (0, 1), None)
    assert order.num_rows == 21 and not order.is_one_window
    for skip in range(22):
        assert numbers(order, 0, skip) == list(range(skip, 21))
    assert order.row_order(0, 0, 3).tolist() == [0, 1, 2]


def test_shuffled_order_and_skipping():
    order = UnitOrder(UNITS, True, 1, 4, (0, 1), None)
    epochs = [numbers(order, epoch) for epoch in range(6)]
    assert all(sorted(epoch) == list(range(21)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    for skip in range(22):
        assert numbers(order, 2, skip) == epochs[2][skip:]


def test_row_orders_differ_by_seed_epoch_window_and_shard():
    orders = [
        UnitOrder(UNITS, True, seed, 4, shard, None).row_order(epoch, window, 50).tolist()
        for seed, shard, epoch, window in (
            (1, (0, 2), 0, 0),
            (2, (0, 2), 0, 0),
            (1, (1, 2), 0, 0),
            (1, (0, 2), 1, 0),
            (1, (0, 2), 0, 1),
        )
    ]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 5


def test_one_window_keeps_the_order_of_units():
    order = UnitOrder(UNITS, True, 1, 100, (0, 1), None)
    assert order.is_one_window and numbers(order, 3) == list(range(21))


@pytest.mark.parametrize("count", range(1, 25))
def test_shards_hold_every_row_once(count):
    shards = [UnitOrder(UNITS, True, 1, 4, (i, count), None) for i in range(count)]
    assert sorted(x for shard in shards for x in numbers(shard)) == list(range(21))
    if count <= len(UNITS):
        assert sum(len(shard._parts) for shard in shards) == len(UNITS)
    else:
        sizes = [shard.num_rows for shard in shards]
        assert max(sizes) - min(sizes) <= len(UNITS)


@pytest.mark.parametrize("limit", [1, 5, 6, 20, 21, 100])
def test_limit(limit):
    order = UnitOrder(UNITS, False, 0, 4, (0, 1), limit)
    assert numbers(order) == list(range(min(limit, 21)))
    parts = [UnitOrder(UNITS, True, 0, 4, (i, 3), limit) for i in range(3)]
    assert sorted(x for part in parts for x in numbers(part)) == list(range(min(limit, 21)))


@pytest.mark.parametrize("rows", [1, 4, "50%", 20, "100%"])
def test_drawn_rows(rows):
    limit = RowLimit(rows, seed=3)
    drawn = limit.drawn(21)
    want = list(range(21)) if drawn is None else drawn.tolist()
    order = UnitOrder(UNITS, False, 0, 4, (0, 1), limit)
    assert order.num_rows == len(want)
    for skip in range(len(want) + 1):
        assert numbers(order, 0, skip) == want[skip:]
    shuffled = UnitOrder(UNITS, True, 1, 4, (0, 1), limit)
    assert sorted(numbers(shuffled, 1)) == want
    assert numbers(shuffled, 1, 1) == numbers(shuffled, 1)[1:]
    for count in (2, 7):
        shards = [UnitOrder(UNITS, True, 1, 4, (i, count), limit) for i in range(count)]
        assert sorted(x for shard in shards for x in numbers(shard)) == want


def test_a_share_of_the_first_rows():
    order = UnitOrder(UNITS, False, 0, 4, (0, 1), RowLimit("30%"))
    assert numbers(order) == list(range(6))


@pytest.mark.parametrize("shard", [(1, 1), (-1, 2), (0, 0)])
def test_wrong_shards(shard):
    with pytest.raises(ValueError, match="`shard` must be"):
        UnitOrder(UNITS, False, 0, 4, shard, None)


def test_wrong_limit():
    with pytest.raises(ValueError, match="`limit` must be at least 1. Received: limit=0"):
        UnitOrder(UNITS, False, 0, 4, (0, 1), 0)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_wrong_seeds(seed):
    message = rf"`seed` must be in \[0, 2\*\*64\). Received: seed={seed}"
    with pytest.raises(ValueError, match=message):
        UnitOrder(UNITS, False, seed, 4, (0, 1), None)


def test_orders_are_permutations_of_numpy():
    order = UnitOrder(UNITS, True, 7, 4, (0, 1), None)
    wanted = np.random.default_rng([7, 0, 3, 2]).permutation(9)
    assert order.row_order(3, 1, 9).tolist() == wanted.tolist()
