import types

import keras
import pytest
from replicas import replicas
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lmn_tf.optimizers import from_spec
from lmn_tf.training.monitor.tensorboard_writer import TensorBoardWriter, learning_rates
from lmn_tf.training.training_loop import TrainState


def training_loop(optimizer):
    state = TrainState(timed_examples=100, timed_seconds=2.0, waited=0.5)
    return types.SimpleNamespace(state=state, model=types.SimpleNamespace(optimizer=optimizer))


def test_scalars_of_steps_and_epochs(tmp_path):
    tensorboard = TensorBoardWriter(tmp_path, every_steps=2)
    loop = training_loop(from_spec({"dense": {"adam": 0.25}}))
    for step in (1, 2, 3, 4):
        loop.state.step = step
        tensorboard.on_step(loop, 1.0 / step)
    valid = {"auc": 0.75, "gauc": None, "memory": {"slots_used": 50.0}}
    tensorboard.on_epoch(loop, {"step": 4, "loss": 0.5, "valid": valid})
    tensorboard.close()
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    import tensorflow as tf

    found = {
        tag: [(e.step, float(tf.make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }
    assert found == {
        "train/loss": [(2, 0.5), (4, 0.25)],
        "train/examples_per_second": [(2, 50.0), (4, 50.0)],
        "train/input_wait": [(2, 0.25), (4, 0.25)],
        "learning_rate/dense": [(2, 0.25), (4, 0.25)],
        "learning_rate/tables": [(2, pytest.approx(0.05)), (4, pytest.approx(0.05))],
        "train/epoch_loss": [(4, 0.5)],
        "valid/auc": [(4, 0.75)],
        "valid/memory/slots_used": [(4, 50.0)],
    }


def test_rates_of_other_optimizers():
    assert learning_rates(None) == {}
    assert learning_rates(keras.optimizers.SGD(0.5)) == {"all": 0.5}
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5))
    assert learning_rates(scaled) == {"all": 0.5}


def test_rates_on_several_replicas():
    with replicas(2).scope():
        assert learning_rates(keras.optimizers.SGD(0.5)) == {"all": 0.5}
