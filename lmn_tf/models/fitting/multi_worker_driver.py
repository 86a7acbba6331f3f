"""The driver of models built under a `MultiWorkerMirroredStrategy`."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from lmn_tf.keras_internals import strategy_of_model
from lmn_tf.models.fitting.fit_driver import FitDriver


class MultiWorkerDriver(FitDriver):
    """Runs the steps of a model on several processes that take each step together.

    Keras 3 has no `fit` for `MultiWorkerMirroredStrategy`: it averages the results of steps over
    an axis that scalars do not have. Here, for models that are built and compiled in
    the scope of the strategy, every process calls `fit` with its own share of the data, such as
    `make_dataset(..., shard=(index, count))`, whose batches are its part of the batch of all.
    Weights, losses and metrics are the same in all processes. Rules that Keras does not know:

    - All processes take equally many steps: of datasets of known sizes the shortest counts.
      `evaluate` goes by the same rule, so give it a share as well, or the whole to each process.
    - All processes call `fit`, `evaluate` and `get_metrics_result` the same number of times; what
      is written (checkpoints, logs) is one process's work, that of task 0.
    - One device a process. Tables are replicated, also those with `row_wise`.
    - The processes' ports are TensorFlow's: open on every interface and without a password. Let
      nothing but the cluster reach them.

    `lmn-tf train` has parameter servers for several machines instead, where a lost worker does
    not end the run.
    """

    runs_steps = True

    @property
    def strategy(self) -> tf.distribute.Strategy:
        """The strategy of the model."""
        return strategy_of_model(self.model)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """As of `FitDriver`; refuses processes of several devices."""
        devices = self.strategy.extended.worker_devices
        if len(devices) > 1:
            raise ValueError(
                "Each process of a MultiWorkerMirroredStrategy must have one device: start one "
                f"process for each GPU. Received: {len(devices)} devices"
            )
        before, self.reads_shares = self.reads_shares, True
        try:
            yield
        finally:
            self.reads_shares = before

    @contextlib.contextmanager
    def fit_data(self, x: Any, kwargs: dict[str, Any]) -> Iterator[Any]:
        """As of `FitDriver`, cut to the length of the shortest share."""
        if "validation_data" in kwargs:
            kwargs["validation_data"] = self.evaluation_data(kwargs["validation_data"])
        yield self.evaluation_data(x)

    def evaluation_data(self, x: Any) -> Any:
        """As of `FitDriver`: a dataset is cut to the length of the shortest of all processes."""
        if not isinstance(x, tf.data.Dataset):
            return x
        length = int(x.cardinality())
        if length < 0:
            return x
        lengths = self.strategy.run(lambda: tf.constant([length], tf.int64))
        return x.take(int(tf.reduce_min(self.strategy.gather(lengths, axis=0))))

    def train_function(self, step: Callable) -> Callable:
        """Returns a function of this process's iterator that runs a training step of all."""
        return self._together(step)

    def test_function(self, step: Callable) -> Callable:
        """Returns a function of this process's iterator that runs an evaluation step of all."""
        return self._together(step)

    def predict_function(self, step: Callable) -> Callable:
        """Returns a function of batches that predicts for this process alone."""
        run = self._together(step)
        return lambda batches: tf.concat([run(iter([batch])) for batch in batches], axis=0)

    def _together(self, step):
        strategy = self.strategy

        @tf.function(autograph=False, reduce_retracing=True)
        def step_of_all(batch):
            return strategy.run(step, args=(batch,))

        def run(iterator):
            for _ in range(self.model.steps_per_execution):
                results = step_of_all(next(iterator))
            return tf.nest.map_structure(
                lambda result: strategy.experimental_local_results(result)[0], results
            )

        return run
