"""Choice of the driver for the steps of a model."""

import keras
import tensorflow as tf

from lmn_tf.keras_internals import strategy_of_model
from lmn_tf.models.fitting.fit_driver import FitDriver
from lmn_tf.models.fitting.multi_worker_driver import MultiWorkerDriver
from lmn_tf.models.fitting.parameter_server_driver import ParameterServerDriver

_DRIVERS = {
    tf.distribute.ParameterServerStrategy: ParameterServerDriver,
    tf.distribute.MultiWorkerMirroredStrategy: MultiWorkerDriver,
}


def driver_of(model: keras.Model) -> FitDriver:
    """Returns the `FitDriver` for the strategy in which a model was built.

    Args:
        model: `CTRModel`.

    Example:

    >>> type(driver_of(lmn_tf.models.DNN(spec))).__name__
    'FitDriver'
    """
    for strategy, driver in _DRIVERS.items():
        if isinstance(strategy_of_model(model), strategy):
            return driver(model)
    return FitDriver(model)
