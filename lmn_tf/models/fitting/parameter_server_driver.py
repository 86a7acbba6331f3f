"""The driver of models built under a `ParameterServerStrategy`."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from lmn_tf.keras_internals import compiled_metrics
from lmn_tf.models.fitting.coordination import Coordination
from lmn_tf.models.fitting.fit_driver import FitDriver


class ParameterServerDriver(FitDriver):
    """Runs the steps of a model asynchronously on the workers of a `ParameterServerStrategy`.

    For models that are built and compiled in the scope of the strategy. `fit`, `evaluate`,
    `predict` and the `_on_batch` methods keep their arguments, and callbacks are called by Keras
    itself. What differs:

    - A step runs on whichever worker is free. `on_train_batch_end` is called when a step has been
      handed out, with the metrics of the steps that have ended, of which the last few are missing;
      at the end of an epoch, and whenever `get_metrics_result` is called, none is.
    - The logs of training have `staleness` and `staleness_max`: mean and maximum of the number of
      updates by others between a step's reading of the weights and its own update.
    - By default the coordinator reads the data, whatever makes them, and hands batches out: its
      reading and its network bound the speed of all workers. Where that is too slow, `fit` takes a
      function without arguments that returns a `tf.data.Dataset` of batches, together with
      `steps_per_epoch`. Each worker calls it, and goes through its dataset again and again; it has
      to be made of TensorFlow ops alone (nothing that calls into Python, so not of
      `lmn_tf.make_dataset`), and should read its own share of the data, by
      `tf.distribute.coordinator.experimental_get_current_worker_index()`. A worker that is started
      again begins its dataset anew.

    Attributes:
        coordination: `Coordination`, made when it is first asked for.
    """

    runs_steps = True
    has_workers = True
    _coordination = None

    @property
    def coordination(self) -> Coordination:
        """What coordinates the workers."""
        if self._coordination is None:
            self._coordination = Coordination(self.model)
        return self._coordination

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """As of `FitDriver`; an error gives up the steps that have been handed out."""
        before, self.reads_shares = self.reads_shares, True
        try:
            yield
        except BaseException:
            if self._coordination is not None:
                self._coordination.queue.abandon()
            raise
        finally:
            self.reads_shares = before

    @contextlib.contextmanager
    def fit_data(self, x: Any, kwargs: dict[str, Any]) -> Iterator[Any]:
        """As of `FitDriver`; `x` may be a function where workers read the data."""
        if not callable(x):
            yield x
            return
        if not kwargs.get("steps_per_epoch"):
            raise ValueError(
                "`steps_per_epoch` must be given where each worker makes its dataset. "
                f"Received: steps_per_epoch={kwargs.get('steps_per_epoch')}"
            )
        kwargs["shuffle"] = False
        with self.coordination.reading_on_workers(x):
            yield tf.data.Dataset.counter()

    def train_function(self, step: Callable) -> Callable:
        """Returns a function of an iterator that hands out a training step."""
        return self.coordination.runner(step, updates=True)

    def test_function(self, step: Callable) -> Callable:
        """Returns a function of an iterator that hands out an evaluation step."""
        return self.coordination.runner(step, updates=False)

    def predict_function(self, step: Callable) -> Callable:
        """Returns a function of batches whose results come when they are looked at."""
        return self.coordination.predictor(step)

    def finish_steps(self) -> None:
        """As of `FitDriver`."""
        if self._coordination is not None:
            self._coordination.queue.drain()

    def figures(self) -> dict[str, float]:
        """As of `FitDriver`: the staleness of training steps, after all of them have ended."""
        if self._coordination is None or self._coordination.is_adding:
            return {}
        self.finish_steps()
        return self._coordination.staleness()

    def reset(self) -> None:
        """As of `FitDriver`."""
        if self._coordination is not None:
            self._coordination.reset()

    @property
    def is_on_worker(self) -> bool:
        """As of `FitDriver`."""
        return self._coordination is not None and self._coordination.handed is not None

    def hand_over(
        self,
        x: Mapping[str, tf.Tensor],
        y: tf.Tensor,
        y_pred: tf.Tensor,
        sample_weight: tf.Tensor | None,
    ) -> dict[str, Any]:
        """Sends to the coordinator what metrics are computed from; for `compute_metrics`.

        Args:
            x: Dictionary of features.
            y: Tensor of labels.
            y_pred: Tensor of predictions.
            sample_weight: Tensor or `None`.

        Returns:
            An empty dictionary: the coordinator knows the results.
        """
        model = self.model
        grouped = model.evaluation_metrics() if model._evaluating else []
        if compiled_metrics(model) is not None or grouped:
            rows = {"y": y, "y_pred": y_pred, "sample_weight": sample_weight}
            rows["group"] = x.get("group") if grouped else None
            self._coordination.handed.update(
                {key: row for key, row in rows.items() if row is not None}
            )
        return {}
