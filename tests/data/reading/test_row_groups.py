"""Groups of rows, against loops in plain Python."""

import numpy as np
import pytest

from lmn_tf.data.reading.row_groups import RowGroups


def gathered(users, moments, most):
    rows = {}
    for row, user in enumerate(users):
        rows.setdefault(user, []).append(row)
    groups = []
    for numbers in rows.values():
        numbers.sort(key=lambda row: moments[row])
        groups += [numbers[start : start + most] for start in range(0, len(numbers), most)]
    return groups


@pytest.mark.parametrize("most", [1, 2, 3, 100])
@pytest.mark.parametrize("count", [1, 2, 60])
def test_agrees_with_a_loop_over_rows(most, count):
    random = np.random.default_rng(count)
    users, moments = random.integers(-4, 4, count), random.integers(0, 5, count)
    groups = RowGroups.of_users(users, moments, most)
    wanted = gathered(users.tolist(), moments.tolist(), most)
    assert len(groups) == len(wanted)
    assert groups.rows.tolist() == sum(wanted, [])
    order = random.permutation(len(groups))
    assert groups.in_order(order).tolist() == sum((wanted[number] for number in order), [])
