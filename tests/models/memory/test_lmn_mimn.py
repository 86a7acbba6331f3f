import numpy as np
import pytest
from kitchen_sink import SMALL_OPTIONS, kitchen_sink_spec, read_with_and_without_memory

from lmn_tf.models import LMNMIMN, MIMN
from lmn_tf.specs.errors import UserError


def test_the_head_sees_the_host_and_the_memory():
    parts, own = read_with_and_without_memory(
        LMNMIMN, MIMN, SMALL_OPTIONS["lmn_mimn"], SMALL_OPTIONS["mimn"]
    )
    assert len(parts) == len(own) + 1
    for got, want in zip(parts, own, strict=False):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    assert parts[-1].shape == (6, 11)


def test_there_is_no_incremental_state_with_a_memory():
    model = LMNMIMN(kitchen_sink_spec(), **SMALL_OPTIONS["lmn_mimn"])
    with pytest.raises(UserError, match="must be given whole histories.*Received: batch_size=3"):
        model.initial_state(3)
