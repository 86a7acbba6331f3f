"""`fit`, `evaluate` and `predict` of models built under a `ParameterServerStrategy`."""

import collections
import contextlib

import numpy as np
import tensorflow as tf

from lmn_tf.distribute.cluster.step_queue import StepQueue
from lmn_tf.distribute.cluster.worker_step import (
    WorkerScope,
    can_be_packed,
    counters,
    keep_here,
    pack,
    unpack,
)
from lmn_tf.distribute.strategy import LocalDataset
from lmn_tf.keras_internals import compiled_metrics, strategy_of_model, tf_variable


class ParameterServerFit:
    """Lets a `keras.Model` train asynchronously on the workers of a `ParameterServerStrategy`.

    A mixin for models that are built and compiled in the scope of the strategy; under any other
    strategy it changes nothing. `fit`, `evaluate`, `predict` and the `_on_batch` methods keep
    their arguments, and callbacks are called by Keras itself. What differs:

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
        steps_in_flight: Integer or `None`. How many steps may be handed out at a time; `None` for
            twice the number of workers. To be set before the first step.
        hang_seconds: Float. When no step has ended for so long, workers and servers that do not
            answer are named on stderr. To be set before the first step.

    Example:

    >>> lmn_tf.models.DNN(spec).is_coordinated
    False
    """

    steps_in_flight = None
    hang_seconds = 60.0
    _coordination = None
    _is_driving = False
    _handed = None

    @property
    def is_coordinated(self):
        """Whether steps run on the workers of a `ParameterServerStrategy`."""
        strategy = strategy_of_model(self)
        return isinstance(strategy, tf.distribute.ParameterServerStrategy)

    @property
    def distribute_strategy(self):
        """As in Keras, which must not distribute what the coordinator reads."""
        return LocalDataset if self._is_driving else super().distribute_strategy

    def coordination(self):
        """Returns what coordinates the workers; made when it is first asked for."""
        if self._coordination is None:
            self._coordination = Coordination(self)
        return self._coordination

    def finish_steps(self):
        """Waits for all steps that have been handed out."""
        if self._coordination is not None:
            self._coordination.queue.drain()

    def fit(self, x=None, *args, **kwargs):
        """As `keras.Model.fit`; `x` may be a function where workers read the data."""
        if not self.is_coordinated:
            return super().fit(x, *args, **kwargs)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._driving())
            if callable(x):
                if not kwargs.get("steps_per_epoch"):
                    raise ValueError(
                        "`steps_per_epoch` must be given where each worker makes its dataset. "
                        f"Received: steps_per_epoch={kwargs.get('steps_per_epoch')}"
                    )
                stack.enter_context(self.coordination().reading_on_workers(x))
                x, kwargs["shuffle"] = tf.data.Dataset.counter(), False
            return super().fit(x, *args, **kwargs)

    def evaluate(self, *args, **kwargs):
        """As `keras.Model.evaluate`."""
        with self._driving():
            return super().evaluate(*args, **kwargs)

    def predict(self, *args, **kwargs):
        """As `keras.Model.predict`."""
        with self._driving():
            return super().predict(*args, **kwargs)

    @contextlib.contextmanager
    def _driving(self):
        before, self._is_driving = self._is_driving, self.is_coordinated
        try:
            yield
        except BaseException:
            if self._coordination is not None:
                self._coordination.queue.abandon()
            raise
        finally:
            self._is_driving = before

    def make_train_function(self, force=False):
        """As in Keras."""
        if not self.is_coordinated:
            return super().make_train_function(force)
        if self.train_function is None or force:
            self.train_function = self.coordination().runner(self.train_step, updates=True)

    def make_test_function(self, force=False):
        """As in Keras."""
        if not self.is_coordinated:
            return super().make_test_function(force)
        if self.test_function is None or force:
            self.test_function = self.coordination().runner(self.test_step, updates=False)

    def make_predict_function(self, force=False):
        """As in Keras."""
        if not self.is_coordinated:
            return super().make_predict_function(force)
        if self.predict_function is None or force:
            self.predict_function = self.coordination().predictor(self.predict_step)

    def reset_metrics(self):
        """As in Keras, after the steps that still count have ended."""
        self.finish_steps()
        super().reset_metrics()
        if self._coordination is not None:
            self._coordination.reset()

    def get_metrics_result(self):
        """As in Keras, after all steps have ended, and with `staleness` in training."""
        coordination = self._coordination
        if coordination is None or coordination.is_adding:
            return super().get_metrics_result()
        coordination.queue.drain()
        return {**super().get_metrics_result(), **coordination.staleness()}

    @property
    def is_on_worker(self):
        """Whether a step is being traced for workers, which have no metrics to update."""
        return self._handed is not None

    def hand_over(self, x, y, y_pred, sample_weight):
        """Sends to the coordinator what metrics are computed from; for `compute_metrics`.

        Args:
            x: Dictionary of features.
            y: Tensor of labels.
            y_pred: Tensor of predictions.
            sample_weight: Tensor or `None`.

        Returns:
            An empty dictionary: the coordinator knows the results.
        """
        grouped = self.evaluation_metrics() if self._evaluating else []
        if compiled_metrics(self) is not None or grouped:
            rows = {"y": y, "y_pred": y_pred, "sample_weight": sample_weight}
            rows["group"] = x.get("group") if grouped else None
            self._handed.update({key: row for key, row in rows.items() if row is not None})
        return {}


class Coordination:
    """What the coordinator keeps of a model while workers run its steps.

    Args:
        model: A `ParameterServerFit`.
    """

    def __init__(self, model):
        if model.run_eagerly:
            raise ValueError(
                "`run_eagerly` must be False under a ParameterServerStrategy: steps run as graphs "
                "on the workers. Received: run_eagerly=True"
            )
        self.model = model
        self.strategy = strategy_of_model(model)
        self.queue = StepQueue(self.strategy, model.steps_in_flight, model.hang_seconds)
        with self.strategy.scope():
            self._updates = tf.Variable(0, trainable=False, dtype=tf.int64, name="updates")
        self.is_adding = False
        # Seconds that each worker spent in steps, and how many there were, since the last reset.
        self.busy_seconds = np.zeros(len(self.queue.workers))
        self.steps = np.zeros(len(self.queue.workers), np.int64)
        self._batches = None
        self.reset()

    def reset(self):
        """Forgets the figures of the steps so far."""
        self._logs = None
        self._passed = [0, 0, 0]  # steps, sum and maximum of their staleness
        self.busy_seconds[:] = 0
        self.steps[:] = 0

    def staleness(self):
        """Returns the staleness of the steps since the last reset; empty in evaluation."""
        if self.model._evaluating:
            return {}
        count, total, most = self._passed
        return {"staleness": total / max(count, 1), "staleness_max": float(most)}

    @contextlib.contextmanager
    def reading_on_workers(self, make_dataset):
        """Has each worker make its own dataset and train on it while a block runs."""
        dataset = self.queue.coordinator.create_per_worker_dataset(lambda: make_dataset().repeat())
        self._batches = iter(dataset)
        try:
            yield
        finally:
            self._batches = None

    def runner(self, step, updates):
        """Returns the train or test function of the model.

        Args:
            step: The model's `train_step` or `test_step`.
            updates: Boolean. Whether the step changes the weights.
        """
        keep_here(self.model.metrics_variables)
        functions = {}

        def run(iterator):
            for _ in range(self.model.steps_per_execution):
                batch = next(iterator)
                read = self._batches is not None and updates
                spec = None if read else getattr(iterator, "element_spec", None)
                key = (read, str(spec))
                if key not in functions:
                    functions[key] = self._worker_function(step, updates, read, spec)
                function, take = functions[key]
                if not read and _is_packed(spec):
                    batch = pack(batch)
                self.queue.put(function, (self._batches if read else batch,), take)
            if self._logs is None:
                self.queue.take_oldest()
            return {**self._logs, **self.staleness()}

        return run

    def _worker_function(self, step, updates, read, spec):
        """Returns the step as workers run it, and what takes its result."""
        model = self.model
        # Compiled metrics are computed from the rows that the step hands over.
        own = [one for one in model.metrics if one is not compiled_metrics(model)]
        variables = [variable for one in own for variable in one.variables]
        counting = counters(model.optimizer) if updates else []

        def one_step(batch):
            model._handed = {}
            try:
                with WorkerScope(variables, counting) as scope:
                    step(batch)
                return scope.added(), model._handed
            finally:
                model._handed = None

        @tf.function(autograph=False, reduce_retracing=True)
        def on_replica(batch):
            return self.strategy.run(one_step, args=(batch,))

        def whole_step(batch):
            if _is_packed(spec):
                batch = unpack(batch, spec)
            started, before = tf.timestamp(), self._updates.read_value()
            with tf.control_dependencies([started, before]):
                added, rows = on_replica(next(batch) if read else batch)
            with tf.control_dependencies(tf.nest.flatten((added, rows))):
                after = self._updates.assign_add(1, read_value=True) if updates else before
            with tf.control_dependencies([after]):
                seconds = tf.timestamp() - started
            worker = tf.distribute.coordinator.experimental_get_current_worker_index()
            parts = [after - before - 1, worker, seconds, *added]
            # In one piece: each tensor of a result costs a round trip.
            numbers = [tf.reshape(tf.cast(part, tf.float64), [-1]) for part in parts]
            return tf.concat(numbers, axis=0), rows

        signature = None if spec is None else [spec]
        if _is_packed(spec):
            signature = [tf.TensorSpec((None,), tf.uint8)]
        function = tf.function(
            whole_step, autograph=False, input_signature=signature, reduce_retracing=spec is None
        )
        return function, self._taker(variables, updates)

    def _taker(self, variables, updates):
        @tf.function(autograph=False, reduce_retracing=True)
        def add(numbers, rows):
            start = 0
            for variable in variables:
                size = int(np.prod(variable.shape))
                part = tf.reshape(numbers[start : start + size], variable.shape)
                tf_variable(variable).assign_add(tf.cast(part, variable.dtype))
                start += size
            if rows:
                features = {"group": rows["group"]} if "group" in rows else {}
                weights = rows.get("sample_weight")
                self.model.compute_metrics(features, rows["y"], rows["y_pred"], weights)
            return self.model.get_metrics_result()

        def take(result):
            numbers, rows = result
            self._count(*numbers[:3], updates)
            self.is_adding = True
            try:
                self._logs = add(numbers[3:], rows)
            finally:
                self.is_adding = False

        return take

    def _count(self, passed, worker, seconds, updates):
        self.busy_seconds[int(worker)] += seconds
        self.steps[int(worker)] += 1
        if updates:
            count, total, most = self._passed
            self._passed = [count + 1, total + int(passed), max(most, int(passed))]

    def map(self, function, batches, arguments=lambda batch: batch):
        """Runs a function on batches on workers, several at a time.

        Args:
            function: `tf.function` of one argument.
            batches: Iterable.
            arguments: Function from a batch to that argument. Defaults to `lambda batch: batch`.

        Yields:
            Pairs of a batch and its result as numpy arrays, in the order of the batches.
        """
        waiting = collections.deque()
        for batch in batches:
            promise = _Promise(self.queue)
            self.queue.put(function, (arguments(batch),), promise.keep)
            waiting.append((batch, promise))
            if len(waiting) > self.queue.max_in_flight:
                batch, promise = waiting.popleft()
                yield batch, promise.result()
        for batch, promise in waiting:
            yield batch, promise.result()

    def predictor(self, step):
        """Returns the predict function of the model: its results come when they are looked at."""

        @tf.function(autograph=False, reduce_retracing=True)
        def on_worker(batch):
            return self.strategy.run(step, args=(batch,))

        def predict(batches):
            promises = [_Promise(self.queue) for _ in batches]
            for batch, promise in zip(batches, promises, strict=True):
                self.queue.put(on_worker, (batch,), promise.keep)
            if len(promises) == 1:
                return promises[0]
            return tf.concat([promise.numpy() for promise in promises], axis=0)

        return predict


def _is_packed(spec):
    return spec is not None and can_be_packed(spec)


class _Promise:
    """The result of a step that may still run; a tensor to whoever looks."""

    def __init__(self, queue):
        self._queue = queue
        self._result = None

    def keep(self, value):
        self._result = value

    def result(self):
        while self._result is None:
            self._queue.take_oldest()
        return self._result

    numpy = result

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.numpy(), dtype)

    def __tf_tensor__(self, dtype=None, name=None):
        return tf.constant(self.numpy(), dtype=dtype, name=name)
