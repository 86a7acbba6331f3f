"""Driver of models built under a `MultiWorkerMirroredStrategy`."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from lmn_tf.keras_internals import strategy_of_model
from lmn_tf.models.fitting.fit_driver import FitDriver


class MultiWorkerDriver(FitDriver):
    """Driver of synchronous steps of several processes.

    `fit` of Keras 3 does not work with `MultiWorkerMirroredStrategy`: it averages the results of
    steps over an axis that scalars do not have. With this driver, the model is built and compiled
    in the scope of the strategy, and every process calls `fit` with its shard of the data, such as
    `make_dataset(..., shard=(index, count))`; the batches of all processes are one global batch.
    Weights, losses and metrics are the same in all processes. Rules in addition to those of Keras:

    - All processes take the same number of steps: that of the shortest dataset, if the sizes are
      known. This also holds for `evaluate`: pass a shard or the whole data to each process.
    - All processes call `fit`, `evaluate` and `get_metrics_result` the same number of times; only
      task 0 writes files (checkpoints, logs).
    - Each process has one device. Tables are replicated, including those with `row_wise`.
    - The ports of the processes are those of TensorFlow: open on every interface and without a
      password. Make them accessible to the cluster only.

    For several machines, `lmn-tf train` uses parameter servers instead, so that the loss of a
    worker does not end the run.
    """

    runs_steps = True

    @property
    def strategy(self) -> tf.distribute.Strategy:
        """Strategy of the model."""
        return strategy_of_model(self.model)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """As in `FitDriver`; raises an error for processes with several devices."""
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
        """As in `FitDriver`, limited to the length of the shortest shard."""
        if "validation_data" in kwargs:
            kwargs["validation_data"] = self.evaluation_data(kwargs["validation_data"])
        yield self.evaluation_data(x)

    def evaluation_data(self, x: Any) -> Any:
        """As in `FitDriver`; a dataset is limited to the length of the shortest shard."""
        if not isinstance(x, tf.data.Dataset):
            return x
        length = int(x.cardinality())
        if length < 0:
            return x
        lengths = self.strategy.run(lambda: tf.constant([length], tf.int64))
        return x.take(int(tf.reduce_min(self.strategy.gather(lengths, axis=0))))

    def train_function(self, step: Callable) -> Callable:
        """Returns a function of an iterator that runs a training step of all processes."""
        return self._together(step)

    def test_function(self, step: Callable) -> Callable:
        """Returns a function of an iterator that runs an evaluation step of all processes."""
        return self._together(step)

    def predict_function(self, step: Callable) -> Callable:
        """Returns a function of batches that predicts in this process only."""
        step_of_all = self._step_of_all(step)
        return lambda batches: tf.concat([step_of_all(batch) for batch in batches], axis=0)

    def _together(self, step):
        step_of_all = self._step_of_all(step)

        def run(iterator):
            for _ in range(self.model.steps_per_execution):
                results = step_of_all(next(iterator))
            return results

        return run

    def _step_of_all(self, step):
        """Returns a function of a batch with the results of this process."""
        strategy = self.strategy

        @tf.function(autograph=False, reduce_retracing=True)
        def step_of_all(batch):
            return strategy.run(step, args=(batch,))

        return lambda batch: tf.nest.map_structure(
            lambda result: strategy.experimental_local_results(result)[0], step_of_all(batch)
        )
