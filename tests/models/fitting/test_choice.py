import types

import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf.models.fitting.choice import driver_of
from lmn_tf.models.fitting.fit_driver import FitDriver
from lmn_tf.models.fitting.multi_worker_driver import MultiWorkerDriver
from lmn_tf.models.fitting.parameter_server_driver import ParameterServerDriver


def strategy(kind):
    return kind.__new__(kind)  # looked at by its class only


@pytest.mark.parametrize(
    ("found", "driver"),
    [
        (lambda: None, FitDriver),
        (lambda: replicas(2), FitDriver),
        (lambda: strategy(tf.distribute.MultiWorkerMirroredStrategy), MultiWorkerDriver),
        (lambda: strategy(tf.distribute.ParameterServerStrategy), ParameterServerDriver),
    ],
)
def test_each_strategy_has_its_driver(found, driver):
    model = types.SimpleNamespace(_distribute_strategy=found())
    assert type(driver_of(model)) is driver
    assert driver_of(model).model is model
