"""Coordination of a model whose steps run on workers with parameter servers."""

import collections
import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
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
from lmn_tf.keras_internals import compiled_metrics, strategy_of_model, tf_variable


class Coordination:
    """State of the coordinator for a model whose steps run on workers.

    Args:
        model: `CTRModel` that was built in the scope of a `ParameterServerStrategy`.
    """

    def __init__(self, model: keras.Model) -> None:
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
        # Seconds that each worker spent in steps, and their number, since the last reset.
        self.busy_seconds = np.zeros(len(self.queue.workers))
        self.steps = np.zeros(len(self.queue.workers), np.int64)
        self._batches = None
        # Rows of the traced step for the metrics of the coordinator.
        self.handed = None
        self.reset()

    def reset(self) -> None:
        """Resets the statistics of steps."""
        self._logs = None
        self._passed = [0, 0, 0]  # number of steps, sum and maximum of their staleness
        self.busy_seconds[:] = 0
        self.steps[:] = 0

    def staleness(self) -> dict[str, float]:
        """Returns the staleness of the steps since the last reset; empty in evaluation."""
        if self.model._evaluating:
            return {}
        count, total, most = self._passed
        return {"staleness": total / max(count, 1), "staleness_max": float(most)}

    @contextlib.contextmanager
    def reading_on_workers(self, make_dataset: Callable[[], tf.data.Dataset]) -> Iterator[None]:
        """Context in which each worker creates a dataset and trains on it."""
        dataset = self.queue.coordinator.create_per_worker_dataset(lambda: make_dataset().repeat())
        self._batches = iter(dataset)
        try:
            yield
        finally:
            self._batches = None

    def runner(self, step: Callable, updates: bool) -> Callable:
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
        """Returns the step for workers, and the function that handles its result."""
        model = self.model
        # Compiled metrics are computed from the rows that the step returns.
        own = [metric for metric in model.metrics if metric is not compiled_metrics(model)]
        variables = [variable for metric in own for variable in metric.variables]
        counting = counters(model.optimizer) if updates else []

        def worker_step(batch):
            self.handed = {}
            try:
                with WorkerScope(variables, counting) as scope:
                    step(batch)
                return scope.added(), self.handed
            finally:
                self.handed = None

        @tf.function(autograph=False, reduce_retracing=True)
        def on_replica(batch):
            return self.strategy.run(worker_step, args=(batch,))

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
            # One packed tensor: each tensor of a result takes a round trip.
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

    def map(
        self, function: Callable, batches: Iterable[Any], arguments: Callable = lambda batch: batch
    ) -> Iterator[tuple[Any, Any]]:
        """Runs a function on batches on workers, several at the same time.

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

    def predictor(self, step: Callable) -> Callable:
        """Returns the predict function of the model, with lazy results."""

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
    """Lazy result of a step, which is a tensor when it is read."""

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
