import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lmn_tf.optimizers import from_spec
from lmn_tf.training.monitor.tensorboard_writer import TensorBoardWriter, learning_rates
from lmn_tf.training.training_loop import TrainState


def training_loop(optimizer):
    state = TrainState(timed_examples=700, timed_seconds=9.0, waited=0.5)  # resumed
    return types.SimpleNamespace(state=state, model=types.SimpleNamespace(optimizer=optimizer))


def test_scalars_of_steps_and_epochs(tmp_path):
    tensorboard = TensorBoardWriter(tmp_path, every_steps=2)
    loop = training_loop(from_spec({"dense": {"adam": 0.25}}))
    for step in (1, 2, 3, 4):
        loop.state.step = step
        tensorboard.on_step(loop, 1.0 / step)
        if step == 1:
            state = loop.state
            state.timed_examples, state.timed_seconds, state.waited = 800, 11.0, 1.0
    loop.state.timed_examples, loop.state.timed_seconds = 1100, 14.0
    valid = {"auc": 0.75, "gauc": None, "examples": 9, "memory": {"slots_used": 50.0}}
    tensorboard.on_epoch(loop, {"step": 4, "loss": 0.5, "valid": valid})
    loop.model.optimizer.dense.learning_rate = 0.125
    loop.state.step = 6
    tensorboard.on_step(loop, 0.125)
    tensorboard.close()
    found, events = written(tmp_path)
    assert {tag: [(step, float(value)) for step, value in found[tag]] for tag in found} == {
        "train/loss": [(2, 0.5), (4, 0.25), (6, 0.125)],
        # Since the point before, or since the first step, which is not timed.
        "train/examples_per_second": [(2, 50.0), (6, 100.0)],
        "train/input_wait": [(2, 0.25), (6, 0.0)],
        # That of tables is a constant.
        "learning_rate/dense": [(2, 0.25), (4, 0.25), (6, 0.125)],
        "train/epoch_loss": [(4, 0.5)],
        "valid/auc": [(4, 0.75)],
        "valid/memory/slots_used": [(4, 50.0)],
    }
    assert all(events.SummaryMetadata(tag).summary_description for tag in found)


def written(folder):
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return {
        tag: [(e.step, tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }, events


def test_curves_of_each_label(tmp_path):
    counts = np.array([0.25, 0.75]), np.array([900.0, 100.0]), np.array([100.0, 300.0])
    few = np.array([0.5]), np.array([1.0]), np.array([1.0])
    tensorboard = TensorBoardWriter(tmp_path, scores=lambda: {"click": counts, "buy": few})
    tensorboard.on_epoch(None, {"step": 4, "loss": 0.5, "valid": {"auc": 0.75}})
    tensorboard.close()
    found, events = written(tmp_path)
    kinds = {tag: events.SummaryMetadata(tag).plugin_data.plugin_name for tag in found}
    assert kinds == {
        "train/epoch_loss": "scalars",
        "valid/auc": "scalars",
        "valid/click/calibration": "scalars",
        "valid/click/pr_curves": "pr_curves",
        "valid/click/calibration_curve": "images",
        "valid/buy/calibration": "scalars",
        "valid/buy/pr_curves": "pr_curves",
    }
    assert found["valid/click/calibration"][0][1] == pytest.approx((250 + 300) / 400)
    width, height = found["valid/click/calibration_curve"][0][1][:2]
    assert (width, height) == (b"640", b"480")


def test_rates_of_other_optimizers():
    assert learning_rates(None) == {}
    assert learning_rates(keras.optimizers.SGD(0.5)) == {"all": 0.5}
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5))
    assert learning_rates(scaled) == {"all": 0.5}


def test_rates_on_several_replicas():
    with replicas(2).scope():
        assert learning_rates(keras.optimizers.SGD(0.5)) == {"all": 0.5}
