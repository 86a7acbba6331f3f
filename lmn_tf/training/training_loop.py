"""Training loop around `model.fit` that can be killed and resumed at any step."""

import contextlib
import dataclasses
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.callbacks.stop_at_divergence import StopAtDivergence
from lmn_tf.optimizers.moving_averages import averaged_weights, use_averages
from lmn_tf.training.early_stopping import EarlyStopping
from lmn_tf.training.monitor.input_clock import InputClock
from lmn_tf.training.saving import checkpoints as checkpoint_files
from lmn_tf.training.saving.checkpoints import Checkpoints
from lmn_tf.training.saving.variable_paths import keyed_variables

_STEP_FIGURES = ("staleness", "staleness_max")  # figures of asynchronous steps in Keras' logs


@dataclasses.dataclass
class TrainState:
    """Plain values that each checkpoint stores beside the variables.

    Args:
        epoch: Current epoch, from 0. Defaults to `0`.
        batch: Next batch of the epoch, or the number of batches if only its evaluation remains.
            Defaults to `0`.
        step: Number of steps over all epochs. Defaults to `0`.
        examples: Number of training rows over all epochs. Defaults to `0`.
        seconds: Time of training steps, without evaluation. Defaults to `0.0`.
        timed_examples: Rows of timed steps: all but the first step of each process, which builds
            the graph. Defaults to `0`.
        timed_seconds: Time of these steps. Defaults to `0.0`.
        waited: Part of `timed_seconds` spent waiting for input. Defaults to `0.0`.
        history: One dictionary of figures for each finished epoch. Defaults to `[]`.
        opening: Figures from before the first step of the current epoch, which are added to those
            of its end. Defaults to `{}`.
        early_stopping: State of early stopping. Defaults to `{}`.
        best_file: File of the best weights, or `None` to use the last ones. Defaults to `None`.
        finished: Whether training has ended. Defaults to `False`.

    Example:

    >>> TrainState(**TrainState(step=3).to_dict()).step
    3
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    examples: int = 0
    seconds: float = 0.0
    timed_examples: int = 0
    timed_seconds: float = 0.0
    waited: float = 0.0
    history: list = dataclasses.field(default_factory=list)
    opening: dict = dataclasses.field(default_factory=dict)
    early_stopping: dict = dataclasses.field(default_factory=dict)
    best_file: str | None = None
    finished: bool = False

    def to_dict(self) -> dict:
        """Returns the fields as plain JSON values."""
        return dataclasses.asdict(self)

    @property
    def examples_per_second(self) -> float:
        """Training rows per second, without the time to build the graph."""
        if self.timed_seconds:
            return self.timed_examples / self.timed_seconds
        return self.examples / self.seconds if self.seconds else 0.0

    @property
    def input_wait(self) -> float:
        """Share of the training time spent waiting for input."""
        return min(1.0, self.waited / self.timed_seconds) if self.timed_seconds else 0.0


class TrainingLoop:
    """Trains with `model.fit`, saves checkpoints, and resumes from them.

    A run is one `fit` over all epochs. After a kill within an epoch, the rest of the epoch is one
    `fit` and the following epochs another, since Keras assumes the same number of batches for all
    epochs of a `fit`. A checkpoint holds all state that determines the next step: weights,
    optimizer slots, seed generators, sums of the running metrics, position in the data, early
    stopping and best weights. So a resumed run ends with the same weights, bit for bit, if the ops
    of TensorFlow are deterministic.

    With `use_ema` in an optimizer, validation figures, best and final weights are those of the
    moving averages, and training goes on with the weights themselves; see `averaged_weights`.

    A step that is not finite ends the run with a `UserError`; see `StopAtDivergence`. Earlier
    checkpoints are kept.

    Args:
        model: A built and compiled `keras.Model` with a built optimizer.
        make_dataset: Function that returns the batches of one epoch as a `tf.data.Dataset`. Its
            argument is a function to call at the start of each iteration, which returns the epoch
            and the first batch to read.
        num_rows: Integer. Rows per epoch.
        batch_size: Integer. Rows per batch; the last batch of an epoch may be smaller.
        epochs: Integer. Number of epochs.
        checkpoints: `Checkpoints` to write to.
        evaluate: Function without arguments that returns the figures of the validation set, called
            at the end of each epoch, or `None`. Defaults to `None`.
        early_stopping: `EarlyStopping` that selects the best epoch, or `None` to keep the last
            weights. Defaults to `None`.
        checkpoint_steps: Integer. Number of steps between checkpoints. Defaults to `500`.
        max_steps: Integer. Number of steps after which training stops, or `None`. Defaults to
            `None`.
        listeners: Objects with any of `on_epoch_begin(loop)`, before the first step of an epoch,
            `on_step(loop, loss)` and `on_epoch(loop, figures)`. They are not Keras callbacks: they
            read the state of the loop and nested figures, which Keras' `logs` cannot hold, and
            they are called once for an epoch, also if it is resumed. Defaults to `()`.
        callbacks: Keras callbacks to pass to `fit`. Defaults to `()`.
    """

    def __init__(
        self,
        model: keras.Model,
        make_dataset: Callable[[Callable[[], tuple[int, int]]], tf.data.Dataset],
        *,
        num_rows: int,
        batch_size: int,
        epochs: int,
        checkpoints: Checkpoints,
        evaluate: Callable[[], Mapping] | None = None,
        early_stopping: EarlyStopping | None = None,
        checkpoint_steps: int = 500,
        max_steps: int | None = None,
        listeners: Sequence[object] = (),
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        self.model = model
        self.make_dataset = make_dataset
        self.num_rows = num_rows
        self.batch_size = batch_size
        self.batches_per_epoch = -(-num_rows // batch_size)
        self.epochs = epochs
        self.checkpoints = checkpoints
        self.evaluate = evaluate
        self.early_stopping = early_stopping
        self.checkpoint_steps = checkpoint_steps
        self.max_steps = max_steps
        self.listeners = list(listeners)
        self.callbacks = list(callbacks)
        self.state = TrainState()
        self.clock = InputClock()
        self._metric_values: list | None = None
        self._is_warm = False

    @property
    def total_steps(self) -> int:
        """Number of steps of the run, unless early stopping ends it earlier."""
        total = self.epochs * self.batches_per_epoch
        return min(total, self.max_steps) if self.max_steps else total

    def restore(self, checkpoint: tuple[dict, dict] | None = None) -> bool:
        """Restores the newest intact checkpoint; returns whether there was one.

        Args:
            checkpoint: Result of `Checkpoints.latest`, if already known. Defaults to `None`.
        """
        checkpoint = self.checkpoints.latest() if checkpoint is None else checkpoint
        if checkpoint is None:
            return False
        values, state = checkpoint
        metrics = [values.pop(key) for key in sorted(values) if key.startswith("metric/")]
        variables = keyed_variables(self.model, self.model.optimizer)
        checkpoint_files.assign(variables, values, f"The checkpoint in {self.checkpoints.folder}")
        self.state = TrainState(**state)
        if self.early_stopping and self.state.early_stopping:
            self.early_stopping.restore(self.state.early_stopping)
        self._metric_values = metrics if self.state.batch else None
        return True

    def run(self) -> TrainState:
        """Trains to the end, and assigns the final weights to the model.

        Returns:
            The final state. The weights are those of the best epoch if early stopping selected one,
            else the last, or their moving averages.
        """
        state = self.state
        if not state.finished and state.batch >= self.batches_per_epoch:
            self._finish_epoch(self._epoch_loss())
        elif not state.finished and state.batch:
            self._fit(state.epoch + 1)
        if not state.finished:
            self._fit(self.epochs)
        if state.best_file:
            best = self.checkpoints.load_best(state.best_file)
            checkpoint_files.assign(keyed_variables(self.model), best, "The best weights")
        else:
            use_averages(self.model.optimizer)
        return state

    def run_epoch(self) -> TrainState:
        """Trains to the end of the current epoch, for epochs with different data or models."""
        self._fit(self.state.epoch + 1)
        return self.state

    def save(self) -> None:
        """Writes a checkpoint of the current state."""
        # On parameter servers, steps may be in flight whose batches already count.
        driver = getattr(self.model, "fit_driver", None)  # not all models have it
        if driver is not None:
            driver.finish_steps()
        values = keyed_variables(self.model, self.model.optimizer)
        for index, variable in enumerate(self._metrics()):
            values[f"metric/{index:04d}"] = np.asarray(variable)
        self.checkpoints.save(self.state.step, values, self.state.to_dict())

    def _fit(self, epochs: int) -> None:
        self.model.fit(
            self._dataset(),
            initial_epoch=self.state.epoch,
            epochs=epochs,
            verbose=0,
            shuffle=False,
            # First, since values that are not finite must not be saved.
            callbacks=[StopAtDivergence(self.state.step), _Hooks(self), *self.callbacks],
        )

    def _dataset(self) -> tf.data.Dataset:
        count = self.batches_per_epoch - self.state.batch
        # TensorFlow never frees functions of datasets, so they must not refer to the model.
        loop = weakref.ref(self)

        def start():
            # Keras creates the iterator after `on_epoch_begin`, so this is the state of its epoch.
            state = loop().state
            return state.epoch, state.batch

        dataset = self.make_dataset(start)
        return self.clock.wrap(dataset.apply(tf.data.experimental.assert_cardinality(count)))

    def _begin_epoch(self) -> None:
        if not self.state.batch:
            self._notify("on_epoch_begin", self)
        if self._metric_values:
            for variable, value in zip(self._metrics(), self._metric_values, strict=True):
                variable.assign(value)
        self._metric_values = None

    def _finish_step(self, seconds: float, loss) -> None:
        state = self.state
        rows = min(self.batch_size, self.num_rows - state.batch * self.batch_size)
        state.examples += rows
        state.batch += 1
        state.step += 1
        state.seconds += seconds
        waited = self.clock.take()
        if self._is_warm:
            state.timed_examples += rows
            state.timed_seconds += seconds
            state.waited += waited
        self._is_warm = True
        self._notify("on_step", self, loss)
        if self.max_steps and state.step >= self.max_steps:
            self.model.stop_training = True
        elif state.step % self.checkpoint_steps == 0 and state.batch < self.batches_per_epoch:
            self.save()

    def _finish_epoch(self, loss: float, step_figures: Mapping = MappingProxyType({})) -> None:
        state = self.state
        if self.evaluate:
            # Evaluation may take long; a kill during it must not lose the steps before.
            state.batch = self.batches_per_epoch
            self.save()
        figures = {"epoch": state.epoch, "step": state.step, "loss": loss, **state.opening}
        state.opening = {}
        figures.update(step_figures)
        if self.evaluate:
            with averaged_weights(self.model.optimizer):
                figures["valid"] = dict(self.evaluate())
                self._update_early_stopping(figures)
        state.history.append(figures)
        state.epoch, state.batch = state.epoch + 1, 0
        out_of_steps = bool(self.max_steps) and state.step >= self.max_steps
        stopped = bool(self.early_stopping) and self.early_stopping.should_stop
        state.finished = out_of_steps or stopped or state.epoch >= self.epochs
        self.save()
        self._notify("on_epoch", self, figures)
        if state.finished:
            self.model.stop_training = True

    def _update_early_stopping(self, figures: dict) -> None:
        if not self.early_stopping:
            return
        value = figures["valid"].get(self.early_stopping.monitor)
        value = float("nan") if value is None else float(value)
        if self.early_stopping.update(self.state.epoch, value):
            values = keyed_variables(self.model)
            self.state.best_file = self.checkpoints.save_best(self.state.epoch, values)
        self.state.early_stopping = self.early_stopping.state()

    def _metrics(self) -> list:
        return list(self.model.metrics_variables)

    def _epoch_loss(self) -> float:
        self._begin_epoch()
        return float(self.model.get_metrics_result().get("loss", float("nan")))

    def _notify(self, event: str, *values) -> None:
        for listener in self.listeners:
            getattr(listener, event, lambda *_: None)(*values)


class _Hooks(keras.callbacks.Callback):
    """Calls the loop from the hooks of a Keras callback."""

    def __init__(self, loop: TrainingLoop):
        super().__init__()
        self._loop = loop
        self._started = 0.0
        self._averaged = contextlib.ExitStack()

    def on_epoch_begin(self, epoch, logs=None):
        self._averaged.close()
        self._loop._begin_epoch()
        self._started = time.perf_counter()

    def on_train_batch_begin(self, batch, logs=None):
        if batch:  # the first step of an epoch includes the start of its input pipeline
            self._started = time.perf_counter()  # the time of other callbacks is not its own

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        seconds, self._started = now - self._started, now
        self._loop._finish_step(seconds, logs["loss"])
        # The time of listeners and checkpoints is not part of the next step.
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        step_figures = {key: float(logs[key]) for key in _STEP_FIGURES if key in logs}
        self._loop._finish_epoch(float(logs["loss"]), step_figures)
        # Keras ends `fit` by assigning averages to the weights, which are needed to go on.
        self._averaged.enter_context(averaged_weights(self.model.optimizer))

    def on_train_end(self, logs=None):
        self._averaged.close()
