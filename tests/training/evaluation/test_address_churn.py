import types

import numpy as np
import pytest

from lmn_tf.training.evaluation.address_churn import AddressChurn

WEIGHTS = np.array([[[0.2, 0.8]], [[0.7, 0.3]], [[0.9, 0.1]], [[0.6, 0.4]]])  # (4, 1, 2)


class Reads:
    """Stands in for an evaluator: each call reads the next slots."""

    def __init__(self, *slots, mask=None):
        self._slots, self._mask = list(slots), mask

    def reads(self, dataset):
        yield {}, [(np.array(self._slots.pop(0)), WEIGHTS, self._mask)]


def loop(batches):
    state = types.SimpleNamespace(batch=0, opening={})
    return types.SimpleNamespace(state=state, batches_per_epoch=batches)


def steps(churn, of, batches):
    for batch in batches:
        of.state.batch = batch
        churn.on_step(of, 0.5)
    return of.state.opening


BEFORE = [[[1, 2]], [[3, 4]], [[5, 6]], [[7, 8]]]
AFTER = [[[9, 2]], [[4, 3]], [[5, 1]], [[8, 7]]]  # the best of the second and the last are others


@pytest.mark.parametrize(("mask", "want"), [(None, 50.0), ([1.0, 0.0, 2.0, 1.0], 100 / 3)])
def test_the_middle_of_an_epoch_is_compared_with_its_end(mask, want):
    churn = AddressChurn(Reads(BEFORE, AFTER, mask=mask), None)
    assert steps(churn, loop(7), range(1, 8)) == {"address_churn": pytest.approx(want)}


def test_an_epoch_that_was_resumed_late_has_none():
    assert steps(AddressChurn(Reads(BEFORE), None), loop(7), range(5, 8)) == {}


def test_an_epoch_of_one_step_has_none():
    assert steps(AddressChurn(Reads(BEFORE), None), loop(1), [1]) == {}
