"""`fit` of models built under a `MultiWorkerMirroredStrategy`."""

import contextlib

import tensorflow as tf

from lmn_tf.distribute.strategy import LocalDataset
from lmn_tf.keras_internals import is_validation, strategy_of_model


class MultiWorkerFit:
    """Lets a `keras.Model` train on several processes that take each step together.

    Keras 3 has no `fit` for `MultiWorkerMirroredStrategy`: it averages the results of steps over
    an axis that scalars do not have. Under this mixin, for models that are built and compiled in
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

    _takes_part = False

    @property
    def is_multi_worker(self):
        """Whether several processes take each step together."""
        strategy = strategy_of_model(self)
        return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)

    @property
    def distribute_strategy(self):
        """As in Keras, which must not distribute what is a process's own share already."""
        return LocalDataset if self._takes_part else super().distribute_strategy

    def fit(self, x=None, *args, **kwargs):
        """As `keras.Model.fit`, with this process's share of the data."""
        with self._taking_part():
            if "validation_data" in kwargs:
                kwargs["validation_data"] = self._as_many(kwargs["validation_data"])
            return super().fit(self._as_many(x), *args, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        """As `keras.Model.evaluate`, with this process's share of the data."""
        with self._taking_part():
            if not is_validation(kwargs):  # `fit` has cut that
                x = self._as_many(x)
            return super().evaluate(x, *args, **kwargs)

    def predict(self, *args, **kwargs):
        """As `keras.Model.predict`, for this process alone."""
        with self._taking_part():
            return super().predict(*args, **kwargs)

    @contextlib.contextmanager
    def _taking_part(self):
        if self.is_multi_worker:
            devices = strategy_of_model(self).extended.worker_devices
            if len(devices) > 1:
                raise ValueError(
                    "Each process of a MultiWorkerMirroredStrategy must have one device: start one "
                    f"process for each GPU. Received: {len(devices)} devices"
                )
        before, self._takes_part = self._takes_part, self.is_multi_worker
        try:
            yield
        finally:
            self._takes_part = before

    def _as_many(self, dataset):
        """Cuts a dataset to the length of the shortest of all processes."""
        if not (self._takes_part and isinstance(dataset, tf.data.Dataset)):
            return dataset
        mine = int(dataset.cardinality())
        if mine < 0:
            return dataset
        strategy = strategy_of_model(self)
        lengths = strategy.gather(strategy.run(lambda: tf.constant([mine], tf.int64)), axis=0)
        return dataset.take(int(tf.reduce_min(lengths)))

    def make_train_function(self, force=False):
        """As in Keras."""
        if not self.is_multi_worker:
            return super().make_train_function(force)
        if self.train_function is None or force:
            self.train_function = self._together(self.train_step)

    def make_test_function(self, force=False):
        """As in Keras."""
        if not self.is_multi_worker:
            return super().make_test_function(force)
        if self.test_function is None or force:
            self.test_function = self._together(self.test_step)

    def make_predict_function(self, force=False):
        """As in Keras."""
        if not self.is_multi_worker:
            return super().make_predict_function(force)
        if self.predict_function is None or force:
            step = self._together(self.predict_step)
            self.predict_function = lambda batches: tf.concat(
                [step(iter([batch])) for batch in batches], axis=0
            )

    def _together(self, step):
        """Returns a step of all processes, on an iterator of this process's batches."""
        strategy = strategy_of_model(self)

        @tf.function(autograph=False, reduce_retracing=True)
        def one_step(batch):
            return strategy.run(step, args=(batch,))

        def run(iterator):
            for _ in range(self.steps_per_execution):
                results = one_step(next(iterator))
            return tf.nest.map_structure(
                lambda result: strategy.experimental_local_results(result)[0], results
            )

        return run
