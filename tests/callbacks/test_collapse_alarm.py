import types
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import SMALL, SMALL_OPTIONS, random_features, random_labels, slim_spec
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lmn_tf.callbacks import CollapseAlarm, CollapseWarning
from lmn_tf.models import DNN, LMN, MSN

SPEC = slim_spec()
HEALTHY = {"slots_used": 44.0, "memory_kl": 2.5, "slots_for_90": 1098.0, "memory_size": 90000}


def data(batches=2):
    rows = random_features(SPEC), random_labels()
    return tf.data.Dataset.from_tensors(rows).repeat(batches)


def made(model_class, name):
    keras.utils.set_random_seed(1)
    model = model_class(SPEC, **SMALL_OPTIONS[name])
    model.compile(run_eagerly=True)  # quicker than a trace for so few batches
    return model


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ({"slots_used": 0.5}, r"slots_used=0.5 % \(less than 1 %\)"),
        ({"memory_kl": 11.0}, r"memory_kl=11 \(more than 9.13\)"),
        ({"slots_for_90": 3.0}, r"slots_for_90=3 \(less than 45\)"),
    ],
)
def test_each_rule(figures, reason):
    alarm = CollapseAlarm()
    with pytest.warns(CollapseWarning, match=f"`clicks` has collapsed: {reason}. Likely"):
        alarm.check({"clicks": {**HEALTHY, **figures}, "buys": HEALTHY})
    assert list(alarm.collapsed) == ["clicks"]
    off = CollapseAlarm(min_slots_used=None, max_kl_share=None, min_share_for_90=None)
    off.check({"clicks": {**HEALTHY, **figures}})
    assert off.collapsed == {}


def test_a_healthy_memory_and_one_that_was_not_read_are_left_in_peace():
    alarm = CollapseAlarm()
    nothing = dict.fromkeys(HEALTHY, float("nan")) | {"memory_size": 90000}
    alarm.check({"clicks": HEALTHY, "buys": nothing})
    assert alarm.collapsed == {}


def collapse(model):
    """Has all rows read the same slots: the queries are constant."""
    for block in model.blocks:
        for query in (block.memory.row_query, block.memory.column_query):
            query.kernel.assign(tf.zeros_like(query.kernel))


def test_warns_after_evaluation_and_names_the_memory():
    model = made(MSN, "msn")
    model.build()
    model.evaluate(data(), verbose=0, callbacks=[CollapseAlarm()])
    collapse(model)
    alarm = CollapseAlarm(min_slots_used=20.0)
    with pytest.warns(CollapseWarning, match="The memory `block_[01]` has collapsed"):
        model.evaluate(data(), verbose=0, callbacks=[alarm])
    assert set(alarm.collapsed) == {"block_0", "block_1"}
    assert alarm.collapsed["block_0"][0] == "slots_used=11.1 % (less than 20 %)"


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("stop", [True, False])
def test_stops_on_request_only(stop, tmp_path):
    model = made(LMN, "lmn")
    alarm = CollapseAlarm(min_slots_used=100.0, stop=stop, log_dir=tmp_path)
    with pytest.warns(CollapseWarning, match="slots_used"):
        history = model.fit(
            data(), validation_data=data(1), epochs=2, verbose=0, callbacks=[alarm]
        ).history
    epochs = 1 if stop else 2
    assert len(history["loss"]) == epochs
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    [tag] = found.Tags()["tensors"]
    assert tag == "clicks/collapsed" and found.SummaryMetadata(tag).summary_description
    events = [(e.step, float(tf.make_ndarray(e.tensor_proto))) for e in found.Tensors(tag)]
    assert events == [(2 * epoch + 2, 1.0) for epoch in range(epochs)]


def test_listens_to_the_training_loop():
    loop = types.SimpleNamespace(model=types.SimpleNamespace(stop_training=False))
    alarm = CollapseAlarm(stop=True)
    alarm.on_epoch(loop, {"valid": {"auc": 0.5}})
    alarm.on_epoch(loop, {"loss": 1.0})
    alarm.on_epoch(loop, {"valid": {"memory": HEALTHY}})
    assert not loop.model.stop_training
    bad = {**HEALTHY, "memory_kl": 11.0}
    with pytest.warns(CollapseWarning, match="The memory `b` has"):
        alarm.on_epoch(loop, {"valid": {"memory": {**HEALTHY, "layers": {"a": HEALTHY, "b": bad}}}})
    assert loop.model.stop_training
    with pytest.warns(CollapseWarning, match="The memory `memory` has"):
        alarm.on_epoch(loop, {"valid": {"memory": bad}})
    said = []
    CollapseAlarm(say=said.append).on_epoch(loop, {"before": {"memory": bad}})
    assert len(said) == 1 and said[0].startswith("The memory `memory` has collapsed: memory_kl=11")


def test_a_model_without_memories_says_and_writes_nothing(tmp_path):
    model = DNN(SPEC, **SMALL)
    model.compile(run_eagerly=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alarm = CollapseAlarm(log_dir=tmp_path / "none")
        model.evaluate(data(1), verbose=0, callbacks=[alarm])
        plain = keras.Sequential([keras.layers.Dense(1)])
        plain.compile("sgd", "mse")
        plain.evaluate(np.ones((2, 1)), np.ones((2, 1)), verbose=0, callbacks=[alarm])
    assert alarm.collapsed == {} and not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("name", "value", "largest"),
    [("min_slots_used", 101, 100), ("max_kl_share", -0.1, 1), ("min_share_for_90", 2, 1)],
)
def test_mistakes_are_told(name, value, largest):
    with pytest.raises(ValueError, match=f"`{name}` must be from 0 to {largest}, or None. Rec"):
        CollapseAlarm(**{name: value})
