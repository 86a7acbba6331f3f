"""The loop is tried with a plain Keras model: nothing in it knows of features or memories."""

import gc
import time
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from old_checkpoints import to_zips

from lmn_tf.specs.errors import UserError
from lmn_tf.training.early_stopping import EarlyStopping
from lmn_tf.training.monitor.input_clock import InputClock
from lmn_tf.training.saving.checkpoints import Checkpoints
from lmn_tf.training.training_loop import TrainingLoop, TrainState

ROWS, BATCH = 70, 16


def read(epoch, first):
    rng = np.random.default_rng(epoch)
    x = rng.normal(size=(ROWS, 4)).astype("float32")
    y = (x.sum(axis=1, keepdims=True) > 0).astype("float32")
    for start in range(first * BATCH, ROWS, BATCH):
        yield x[start : start + BATCH], y[start : start + BATCH]


def dataset(start):
    signature = (
        tf.TensorSpec([None, 4], tf.float32),
        tf.TensorSpec([None, 1], tf.float32),
    )
    batches = tf.data.Dataset.from_generator(lambda: read(*start()), output_signature=signature)
    return batches.prefetch(2)


def averaging():
    return keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True, ema_momentum=0.8)


def make_loop(folder, epochs=3, evaluate=None, optimizer=None, **options):
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [keras.Input([4]), keras.layers.Dense(8), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    )
    # Tracing would cost more than all the steps; graphs are resumed by `test_resume.py`.
    optimizer = optimizer or keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True), run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    return TrainingLoop(
        model,
        dataset,
        num_rows=ROWS,
        batch_size=BATCH,
        epochs=epochs,
        checkpoints=Checkpoints(folder),
        evaluate=evaluate,
        **options,
    )


class Killed(Exception):
    pass


class KillAt:
    """Ends the process's part in the run at a step."""

    def __init__(self, step):
        self.step = step

    def on_step(self, loop, loss):
        if loop.state.step == self.step:
            raise Killed


def final(loop):
    return [np.asarray(v) for v in [*loop.model.variables, *loop.model.optimizer.variables]]


def test_the_time_of_callbacks_is_not_that_of_steps(tmp_path):
    class Slow(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            time.sleep(0.5)

    state = make_loop(tmp_path, epochs=1, callbacks=[Slow()]).run()
    assert state.step == 5 and state.timed_seconds < 0.5 * 4


def test_trains_all_epochs_and_counts(tmp_path):
    loop = make_loop(tmp_path)
    state = loop.run()
    assert (state.step, state.epoch, state.batch, state.finished) == (15, 3, 0, True)
    assert state.examples == 3 * ROWS
    assert [figures["epoch"] for figures in state.history] == [0, 1, 2]
    assert state.history[2]["loss"] < state.history[0]["loss"] + 1
    assert 0 <= state.input_wait <= 1 and state.examples_per_second > 0


def test_nothing_keeps_the_model_of_a_loop_that_is_gone(tmp_path):
    loop = make_loop(tmp_path, epochs=1)
    loop.run()
    model = weakref.ref(loop.model)
    del loop
    gc.collect()
    assert model() is None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A loop that nothing stopped."""
    loop = make_loop(tmp_path_factory.mktemp("whole"), checkpoint_steps=3)
    loop.run()
    return loop


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    "kill_at", [*(pytest.param(at, marks=pytest.mark.slow) for at in (1, 5, 11)), 3, 4, 6, 15]
)
def test_continues_bit_for_bit(tmp_path, whole, kill_at):
    broken = make_loop(tmp_path / "broken", checkpoint_steps=3, listeners=[KillAt(kill_at)])
    with pytest.raises(Killed):
        broken.run()
    resumed = make_loop(tmp_path / "broken", checkpoint_steps=3)
    assert resumed.restore() == (kill_at > 3)  # A kill in step 3 comes before its checkpoint.
    state = resumed.run()
    for a, b in zip(final(whole), final(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [f["loss"] for f in state.history] == [f["loss"] for f in whole.state.history]
    assert state.examples == whole.state.examples


def test_continues_bit_for_bit_from_checkpoints_of_before(tmp_path, whole):
    broken = make_loop(tmp_path, checkpoint_steps=3, listeners=[KillAt(8)])
    with pytest.raises(Killed):
        broken.run()
    to_zips(tmp_path)
    resumed = make_loop(tmp_path, checkpoint_steps=3)
    assert resumed.restore() and resumed.state.step == 6
    resumed.run()
    for a, b in zip(final(whole), final(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not list(tmp_path.glob("*.npz"))


def test_a_kill_in_the_evaluation_costs_no_step(tmp_path):
    def dies():
        raise Killed

    want = make_loop(tmp_path / "whole", evaluate=lambda: {"auc": 0.5})
    want.run()
    with pytest.raises(Killed):
        make_loop(tmp_path / "broken", evaluate=dies).run()
    resumed = make_loop(tmp_path / "broken", evaluate=lambda: {"auc": 0.5})
    assert resumed.restore() and resumed.state.batch == resumed.batches_per_epoch
    state = resumed.run()
    assert state.history == want.state.history
    for a, b in zip(final(want), final(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_keeps_the_best_weights(tmp_path):
    values = iter([0.6, 0.8, 0.7, 0.75, 0.9])
    seen = []

    def evaluate():
        seen.append([np.asarray(v) for v in loop.model.variables])
        return {"auc": next(values)}

    loop = make_loop(tmp_path, epochs=5, evaluate=evaluate, early_stopping=EarlyStopping("auc", 2))
    state = loop.run()
    assert state.finished and len(state.history) == 4
    assert loop.early_stopping.best_epoch == 1
    for a, b in zip(seen[1], loop.model.variables, strict=True):
        np.testing.assert_array_equal(a, np.asarray(b))


class Average:
    """The slow twin: the weights of each step, and their moving average in float64."""

    def __init__(self):
        self.weights, self.means = [], []

    def on_step(self, loop, loss):
        self.weights.append(loop.model.get_weights())
        means = [np.float64(weight) for weight in self.weights[-1]]
        if self.means:
            pairs = zip(self.means[-1], means, strict=True)
            means = [0.8 * mean + 0.2 * weight for mean, weight in pairs]
        self.means.append(means)


def assert_close(weights, others):
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("best", [None, 1, 2])
def test_moving_averages_are_evaluated_and_kept_while_training_goes_on(tmp_path, best):
    twin, seen = Average(), []

    def evaluate():
        seen.append(loop.model.get_weights())
        return {"auc": 0.6 if len(seen) - 1 == best else 0.5}

    stopping = None if best is None else EarlyStopping("auc", 3)
    loop = make_loop(
        tmp_path / "averaged",
        evaluate=evaluate,
        optimizer=averaging(),
        listeners=[twin],
        early_stopping=stopping,
    )
    loop.run()
    for epoch, weights in enumerate(seen):
        assert_close(weights, twin.means[5 * epoch + 4])
    assert_close(loop.model.get_weights(), twin.means[14 if best is None else 5 * best + 4])
    # The steps are those without averages, bit for bit, and so is the last checkpoint.
    plain = Average()
    make_loop(tmp_path / "plain", listeners=[plain]).run()
    for step, others in zip(plain.weights, twin.weights, strict=True):
        for one, other in zip(step, others, strict=True):
            np.testing.assert_array_equal(one, other)
    saved, _ = loop.checkpoints.latest()
    kept = [value for key, value in saved.items() if key.endswith(("/kernel", "/bias"))]
    for one, other in zip(kept, twin.weights[-1], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kill_at", [4, 8, 10, None])
def test_moving_averages_continue_bit_for_bit(tmp_path, kill_at):
    def loop_in(name, **options):
        return make_loop(tmp_path / name, optimizer=averaging(), checkpoint_steps=3, **options)

    whole = loop_in("whole")
    whole.run()
    broken = loop_in("broken", listeners=[KillAt(kill_at)])
    if kill_at is None:
        broken.run()
    else:
        with pytest.raises(Killed):
            broken.run()
    resumed = loop_in("broken")
    assert resumed.restore()
    resumed.run()
    for a, b in zip(final(whole), final(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_early_stopping_goes_on_after_a_kill(tmp_path):
    def at_epoch(values):
        values = iter(values)

        def evaluate():
            value = next(values)
            if value is None:
                raise Killed
            return {"auc": value}

        return evaluate

    stopping = lambda: EarlyStopping("auc", 2)  # noqa: E731
    broken = make_loop(
        tmp_path, epochs=9, evaluate=at_epoch([0.8, 0.7, None]), early_stopping=stopping()
    )
    with pytest.raises(Killed):
        broken.run()
    resumed = make_loop(tmp_path, epochs=9, evaluate=at_epoch([0.6]), early_stopping=stopping())
    resumed.restore()
    state = resumed.run()
    assert state.finished and len(state.history) == 3 and state.best_file == "best-0000"


def test_max_steps_ends_within_an_epoch(tmp_path):
    loop = make_loop(tmp_path, max_steps=7)
    state = loop.run()
    assert (state.step, state.finished, len(state.history)) == (7, True, 2)
    assert loop.total_steps == 7
    again = make_loop(tmp_path, max_steps=7)
    again.restore()
    assert again.run().step == 7


def test_a_finished_run_takes_no_further_step(tmp_path):
    first = make_loop(tmp_path)
    first.run()
    again = make_loop(tmp_path)
    assert again.restore() and again.state.finished
    again.run()
    for a, b in zip(final(first), final(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_input_wait_is_seen(tmp_path, monkeypatch):
    wrapped = []
    monkeypatch.setattr(InputClock, "wrap", lambda clock, data: wrapped.append(clock) or data)
    monkeypatch.setattr(InputClock, "take", lambda clock: 3.0)
    loop = make_loop(tmp_path, epochs=1)
    loop.run()
    assert wrapped == [loop.clock]
    # The first step builds what the others use: neither its time nor its wait counts.
    assert loop.state.waited == 3.0 * (loop.batches_per_epoch - 1)


class Spoil:
    """Makes a weight NaN after a step, as a gradient that is not finite would."""

    def __init__(self, step, value):
        self.step = step
        self.value = value

    def on_step(self, loop, loss):
        if loop.state.step == self.step:
            weight = loop.model.layers[0].kernel
            weight.assign(weight.numpy() * self.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_ends_at_the_first_loss_that_is_not_finite(tmp_path, value):
    loop = make_loop(tmp_path, checkpoint_steps=2, listeners=[Spoil(3, value)])
    with pytest.raises(UserError, match="must be finite. Received: loss=nan at step 4"):
        loop.run()
    again = make_loop(tmp_path)
    assert again.restore() and again.state.step == 2
    again.run()


def test_never_saves_what_is_not_finite(tmp_path):
    loop = make_loop(tmp_path, checkpoint_steps=2, listeners=[Spoil(4, np.nan)])
    with pytest.raises(UserError, match="checkpoint must hold finite numbers only.*dense/kernel"):
        loop.run()
    assert make_loop(tmp_path).restore()
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000002"]


def test_goes_through_plain_values():
    state = TrainState(epoch=1, step=7, history=[{"loss": 0.5}], best_file="best-0000")
    assert TrainState(**state.to_dict()) == state


def test_speed_leaves_the_building_of_the_graph_out():
    state = TrainState(
        examples=300, seconds=13.0, timed_examples=200, timed_seconds=2.0, waited=0.5
    )
    assert state.examples_per_second == 100
    assert state.input_wait == 0.25


def test_speed_of_a_single_step():
    state = TrainState(examples=300, seconds=3.0)
    assert state.examples_per_second == pytest.approx(100)
    assert state.input_wait == 0.0
    assert TrainState().examples_per_second == 0.0
