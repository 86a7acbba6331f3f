import keras
import tensorflow as tf
from kitchen_sink import SMALL, random_features, slim_spec

from lmn_tf.distribute.strategy import LocalDataset
from lmn_tf.models import DNN
from lmn_tf.models.fitting.distributed_windows import DistributedWindows
from lmn_tf.models.fitting.fit_driver import FitDriver


def test_everything_is_left_to_keras():
    driver = FitDriver(model=None)
    kwargs = {"validation_data": [1]}
    with driver.running(), driver.fit_data([2], kwargs) as data:
        assert data == [2] and kwargs == {"validation_data": [1]}
        assert not driver.reads_shares
    assert driver.evaluation_data([3]) == [3]
    assert driver.figures() == {}
    assert not (driver.runs_steps or driver.has_workers or driver.is_on_worker)


def test_keras_distributes_only_what_is_no_share():
    driver, strategy = FitDriver(model=None), tf.distribute.get_strategy()
    assert isinstance(driver.keras_strategy(strategy), DistributedWindows)
    driver.reads_shares = True
    assert driver.keras_strategy(strategy) is LocalDataset
    driver.reads_shares, driver.runs_steps = False, True
    assert driver.keras_strategy(strategy) is strategy


def test_a_model_keeps_its_driver_and_saves_without_it(tmp_path):
    spec = slim_spec()
    model = DNN(spec, **SMALL)
    assert model.fit_driver is model.fit_driver and model.fit_driver.model is model
    assert [columns.name for columns in model.fit_driver.batches.sequences] == ["clicks"]
    model.build()
    features = random_features(spec, rows=3)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.fit_driver is not model.fit_driver
    assert (again(features).numpy() == model(features).numpy()).all()
