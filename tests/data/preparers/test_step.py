import dataclasses

import pytest

from lmn_tf.data.preparers.step import Step


def test_a_step_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError, match="sql"):
        Step("numbers", "SELECT 1").sql = "SELECT 2"
