import types

import pytest

from lmn_tf.models.fitting.coordination import Coordination


def test_steps_run_as_graphs():
    model = types.SimpleNamespace(run_eagerly=True)
    with pytest.raises(ValueError, match="`run_eagerly` must be False under a ParameterServer"):
        Coordination(model)
