"""Driver of models built under a `ParameterServerStrategy`."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from lmn_tf.keras_internals import compiled_metrics
from lmn_tf.models.fitting.coordination import Coordination
from lmn_tf.models.fitting.fit_driver import FitDriver


class ParameterServerDriver(FitDriver):
    """Driver of asynchronous steps on the workers of a `ParameterServerStrategy`.

    The model is built and compiled in the scope of the strategy. `fit`, `evaluate`, `predict` and
    the `_on_batch` methods have the same arguments as in Keras, which also calls the callbacks.
    Differences:

    - A step runs on any free worker. `on_train_batch_end` is called when a step is *scheduled*; its
      logs do not include the last few steps, which are still running. At the end of an epoch, and
      in `get_metrics_result`, they are complete.
    - The logs of training have `staleness` and `staleness_max`: the mean and maximum number of
      updates by other steps between reading the weights and updating them.
    - By default, the coordinator reads the data from any source and distributes batches, so that
      its reading and network limit the speed of all workers. If this is too slow, pass a function
      without arguments that returns a `tf.data.Dataset` of batches to `fit`, together with
      `steps_per_epoch`. Each worker calls it and repeats its dataset. The dataset must consist of
      TensorFlow ops only (no calls into Python, so not `lmn_tf.make_dataset`), and should read the
      shard of `tf.distribute.coordinator.experimental_get_current_worker_index()`. A restarted
      worker starts its dataset from the beginning.

    Attributes:
        coordination: `Coordination`, created on first use.
    """

    runs_steps = True
    has_workers = True
    _coordination = None

    @property
    def coordination(self) -> Coordination:
        """Coordination of the workers."""
        if self._coordination is None:
            self._coordination = Coordination(self.model)
        return self._coordination

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """As in `FitDriver`; an error cancels the scheduled steps."""
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
        """As in `FitDriver`; with a function as `x`, workers read the data."""
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
        """Returns a function of an iterator that schedules a training step."""
        return self.coordination.runner(step, updates=True)

    def test_function(self, step: Callable) -> Callable:
        """Returns a function of an iterator that schedules an evaluation step."""
        return self.coordination.runner(step, updates=False)

    def predict_function(self, step: Callable) -> Callable:
        """Returns a function of batches with lazy results."""
        return self.coordination.predictor(step)

    def finish_steps(self) -> None:
        """As in `FitDriver`."""
        if self._coordination is not None:
            self._coordination.queue.drain()

    def figures(self) -> dict[str, float]:
        """As in `FitDriver`: the staleness of training steps, after waiting for all of them."""
        if self._coordination is None or self._coordination.is_adding:
            return {}
        self.finish_steps()
        return self._coordination.staleness()

    def reset(self) -> None:
        """As in `FitDriver`."""
        if self._coordination is not None:
            self._coordination.reset()

    @property
    def is_on_worker(self) -> bool:
        """As in `FitDriver`."""
        return self._coordination is not None and self._coordination.handed is not None

    def hand_over(
        self,
        x: Mapping[str, tf.Tensor],
        y: tf.Tensor,
        y_pred: tf.Tensor,
        sample_weight: tf.Tensor | None,
    ) -> dict[str, Any]:
        """Sends the inputs of metrics to the coordinator, for `compute_metrics`.

        Args:
            x: Dictionary of features.
            y: Tensor of labels.
            y_pred: Tensor of predictions.
            sample_weight: Tensor or `None`.

        Returns:
            An empty dictionary: the coordinator has the results.
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
