"""Training loop on `model.fit` that can be killed at any moment and resumed."""

import dataclasses
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.callbacks.stop_at_divergence import StopAtDivergence
from lmn_tf.training.early_stopping import EarlyStopping
from lmn_tf.training.monitor.input_clock import InputClock
from lmn_tf.training.saving import checkpoints as checkpoint_files
from lmn_tf.training.saving.checkpoints import Checkpoints
from lmn_tf.training.saving.variable_paths import keyed_variables

_OF_STEPS = ("staleness", "staleness_max")  # figures of asynchronous steps among Keras' logs


@dataclasses.dataclass
class TrainState:
    """Plain numbers that go into each checkpoint beside the variables.

    Args:
        epoch: Epoch in progress, from 0. Defaults to `0`.
        batch: Next batch of that epoch; all of them once only its evaluation is left.
            Defaults to `0`.
        step: Steps taken in all epochs. Defaults to `0`.
        examples: Rows trained on in all epochs. Defaults to `0`.
        seconds: Time spent in training steps, evaluation left out. Defaults to `0.0`.
        timed_examples: Rows of the steps that are timed: all but the first of each process, which
            builds the graph. Defaults to `0`.
        timed_seconds: Time of those steps. Defaults to `0.0`.
        waited: Part of `timed_seconds` spent waiting for input. Defaults to `0.0`.
        history: One dict of figures for each finished epoch. Defaults to `[]`.
        opening: Figures known before the first step of the epoch in progress, which join those of
            its end. Defaults to `{}`.
        early_stopping: State of the early stopping. Defaults to `{}`.
        best_file: File with the best weights, None where the last ones count. Defaults to `None`.
        finished: Whether no step is left. Defaults to `False`.

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
        """Rows trained on in a second, the building of the graph left out."""
        if self.timed_seconds:
            return self.timed_examples / self.timed_seconds
        return self.examples / self.seconds if self.seconds else 0.0

    @property
    def input_wait(self) -> float:
        """Share of the training time spent waiting for input."""
        return min(1.0, self.waited / self.timed_seconds) if self.timed_seconds else 0.0


class TrainingLoop:
    """Trains with `model.fit`, saving as it goes; a later loop goes on where an earlier one died.

    A run is one `fit` over all epochs. After a kill within an epoch, the rest of that epoch is one
    `fit` and the epochs after it another, since Keras takes the number of batches of an epoch as
    the same for all epochs of a `fit`. Everything that decides the next step is in a checkpoint:
    weights, optimizer slots, seed generators, sums of the running metrics, place in the data, early
    stopping and best weights. So a continued run ends with the same weights, bit for bit, where
    TensorFlow's ops are deterministic.

    A step that is not finite ends the run with a `UserError`; see `StopAtDivergence`. The
    checkpoints from before it stay.

    Args:
        model: A built and compiled `keras.Model`; its optimizer is built too.
        make_dataset: Function that gives the batches of one epoch as a `tf.data.Dataset`. Its
            argument is a function to be called whenever an iteration begins, which gives the epoch
            and the first batch to read.
        num_rows: Rows of an epoch.
        batch_size: Rows of a batch; the last batch of an epoch may be smaller.
        epochs: Number of epochs.
        checkpoints: Where the checkpoints go.
        evaluate: Function without arguments giving the figures of the validation set, called at
            the end of each epoch; None for no evaluation. Defaults to `None`.
        early_stopping: Chooses the best epoch; None keeps the last weights. Defaults to `None`.
        checkpoint_steps: Steps between two checkpoints. Defaults to `500`.
        max_steps: Stop after so many steps; None for no limit. Defaults to `None`.
        listeners: Objects with any of `on_step(loop, loss)` and `on_epoch(loop, figures)`. They are
            no Keras callbacks: they read the state of the loop and nested figures, which Keras'
            `logs` do not hold, and hear of the epoch whose evaluation a kill cut short outside of
            any `fit`. Defaults to `()`.
        callbacks: Keras callbacks to hand to `fit` as well. Defaults to `()`.
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
        """Steps of the whole run, unless early stopping ends it before."""
        total = self.epochs * self.batches_per_epoch
        return min(total, self.max_steps) if self.max_steps else total

    def restore(self, checkpoint: tuple[dict, dict] | None = None) -> bool:
        """Takes over the newest whole checkpoint; returns whether there was one.

        Args:
            checkpoint: Result of `Checkpoints.latest`, if it is known already. Defaults to `None`.
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
        """Trains to the end and leaves the final weights in the model.

        Returns:
            The final state; the weights are those of the best epoch where early stopping chose
            one, else the last.
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
        return state

    def run_epoch(self) -> TrainState:
        """Trains to the end of the epoch in progress, for epochs whose data or model differ."""
        self._fit(self.state.epoch + 1)
        return self.state

    def save(self) -> None:
        """Writes a checkpoint of this moment."""
        # On parameter servers steps may be under way, whose batches count as done.
        driver = getattr(self.model, "fit_driver", None)  # any model may be trained
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
            # First of all: what is not finite must not be saved.
            callbacks=[StopAtDivergence(self.state.step), _Hooks(self), *self.callbacks],
        )

    def _dataset(self) -> tf.data.Dataset:
        count = self.batches_per_epoch - self.state.batch
        # TensorFlow keeps what datasets call as long as the process lives: not the model with it.
        loop = weakref.ref(self)

        def start():
            # Keras makes the iterator of an epoch after `on_epoch_begin`: it is that epoch's state.
            state = loop().state
            return state.epoch, state.batch

        dataset = self.make_dataset(start)
        return self.clock.wrap(dataset.apply(tf.data.experimental.assert_cardinality(count)))

    def _begin_epoch(self) -> None:
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
            # Evaluation may take long: a kill within it must not cost the steps before it.
            state.batch = self.batches_per_epoch
            self.save()
        figures = {"epoch": state.epoch, "step": state.step, "loss": loss, **state.opening}
        state.opening = {}
        figures.update(step_figures)
        if self.evaluate:
            figures["valid"] = dict(self.evaluate())
        state.history.append(figures)
        self._judge(figures)
        state.epoch, state.batch = state.epoch + 1, 0
        out_of_steps = bool(self.max_steps) and state.step >= self.max_steps
        stopped = bool(self.early_stopping) and self.early_stopping.should_stop
        state.finished = out_of_steps or stopped or state.epoch >= self.epochs
        self.save()
        self._notify("on_epoch", self, figures)
        if state.finished:
            self.model.stop_training = True

    def _judge(self, figures: dict) -> None:
        if not self.early_stopping or "valid" not in figures:
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
    """Calls the loop at the moments at which Keras calls a callback."""

    def __init__(self, loop: TrainingLoop):
        super().__init__()
        self._loop = loop
        self._started = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._loop._begin_epoch()
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        seconds, self._started = now - self._started, now
        self._loop._finish_step(seconds, logs["loss"])
        # What listeners and checkpoints took is no part of the next step.
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        step_figures = {key: float(logs[key]) for key in _OF_STEPS if key in logs}
        self._loop._finish_epoch(float(logs["loss"]), step_figures)
