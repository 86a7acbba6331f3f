import collections

import numpy as np
import pytest

from lmn_tf.training.inspection.pair_weights import PairWeights


def test_sums_over_batches_agree_with_a_loop():
    rng = np.random.default_rng(0)
    pairs, wanted = PairWeights(), collections.defaultdict(collections.Counter)
    for _ in range(3):
        rows, ids = rng.integers(0, 5, 200), rng.integers(-1, 8, 200)
        weights = rng.random(200)
        pairs.add(rows, ids, weights)
        for row, id_, weight in zip(rows, ids, weights, strict=True):
            if id_ >= 0:
                wanted[row][id_] += weight
    found = pairs.top(3)
    assert list(found) == [0, 1, 2, 3, 4]
    ids, weights = pairs.of(2)
    assert dict(zip(ids, weights, strict=True)) == pytest.approx(wanted[2])
    rows, ids, weights = pairs.all()
    assert (np.diff(rows * 8 + ids) > 0).all() and len(rows) == 5 * 8
    for row, id_, weight in zip(rows, ids, weights, strict=True):
        assert weight == pytest.approx(wanted[row][id_])
    for row, top in found.items():
        ids, weights = zip(*wanted[row].most_common(3), strict=True)
        assert tuple(id_ for id_, _ in top) == ids
        np.testing.assert_allclose([weight for _, weight in top], weights)


def test_large_ids_and_ties():
    pairs = PairWeights()
    pairs.add(np.array([2, 2, 0]), np.array([2**32 - 1, 5, 1]), np.array([1.0, 1.0, 2.0]))
    assert pairs.top(9) == {0: [(1, 2.0)], 2: [(5, 1.0), (2**32 - 1, 1.0)]}
    assert [part.tolist() for part in pairs.of(2)] == [[5, 2**32 - 1], [1.0, 1.0]]
    assert [part.tolist() for part in pairs.of(1)] == [[], []]
    assert PairWeights().top(1) == {}
