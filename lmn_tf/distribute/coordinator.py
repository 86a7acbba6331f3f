"""Hands steps to the workers of a run on parameter servers, a bounded number at a time."""

import collections
import weakref

import tensorflow as tf

from lmn_tf.distribute.cluster_error import ClusterError, cluster_errors
from lmn_tf.distribute.watchdog import Watchdog


class StepQueue:
    """Steps that run on whichever worker is free, and their results in the order of the steps.

    At most `max_in_flight` steps are handed out and not yet taken back, so that batches and updates
    are bounded: between the moment at which a step reads the weights and its own update, at most
    `max_in_flight + workers - 2` other updates can pass. A step whose worker is lost runs again on
    another one; its result comes once. Of one whose worker was lost in the middle of its update,
    part of that update may be applied twice.

    Args:
        strategy: `tf.distribute.ParameterServerStrategy`.
        max_in_flight: Integer, or `None` for twice the number of workers: one that runs and one
            that waits at each. Defaults to `None`.
        hang_seconds: Float. After how many seconds without any step ending the processes that do
            not answer are named. Defaults to `60.0`.
        say: Function that is given those lines. Defaults to `None`: to stderr.

    Raises:
        ValueError: If `max_in_flight` is not positive, or a worker has several GPUs.
    """

    def __init__(self, strategy, max_in_flight=None, hang_seconds=60.0, say=None):
        if strategy.num_replicas_in_sync > 1:
            raise ValueError(
                "Each worker must have at most one GPU: start one worker for each. "
                f"Received: {strategy.num_replicas_in_sync} GPUs a worker"
            )
        self.strategy = strategy
        self.coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
        spec = strategy._cluster_resolver.cluster_spec().as_dict()
        self.workers, self.servers = list(spec["worker"]), list(spec["ps"])
        if max_in_flight is None:
            max_in_flight = 2 * len(self.workers)
        if max_in_flight < 1:
            raise ValueError(
                f"`max_in_flight` must be at least 1. Received: max_in_flight={max_in_flight}"
            )
        self.max_in_flight = max_in_flight
        self._pending = pending = collections.deque()
        self._lost = False
        tasks = {place: f"Worker {i} at {place}" for i, place in enumerate(self.workers)}
        for index, place in enumerate(self.servers):
            tasks[place] = f"Parameter server {index} at {place}"
        self.watchdog = Watchdog(tasks, lambda: bool(pending), hang_seconds, say)
        # Its thread, which holds on to the watchdog but not to this queue.
        weakref.finalize(self, self.watchdog.stop)

    def put(self, function, args, take):
        """Hands a step out, after waiting for the oldest one where too many are out.

        Args:
            function: `tf.function`, run on a worker.
            args: Tuple of its arguments.
            take: Function that is given the step's result as numpy arrays, in this thread, when a
                later call of `put` or `drain` finds it its turn.

        Raises:
            ClusterError: If a parameter server is lost.
        """
        self.watchdog.start()
        while len(self._pending) >= self.max_in_flight:
            self.take_oldest()
        with self._errors():
            self._pending.append((self.coordinator.schedule(function, args=args), take))

    def take_oldest(self):
        """Waits for the step that was handed out first and takes its result."""
        value, take = self._pending.popleft()
        with self._errors():
            result = value.fetch()
        self.watchdog.beat()
        take(result)

    def drain(self):
        """Waits for every step that is out, and takes its result."""
        while self._pending:
            self.take_oldest()

    def abandon(self):
        """Waits for the steps that are out and forgets their results: after an error."""
        self._pending.clear()
        if self._lost:
            return
        try:
            self.coordinator.join()
        except Exception:  # What went wrong has been told already.
            return

    def __len__(self):
        return len(self._pending)

    def _errors(self):
        return _Errors(self)


class _Errors:
    """Turns errors of a lost server into a `ClusterError`, and remembers that one is lost."""

    def __init__(self, queue):
        self._queue = queue
        self._context = cluster_errors(queue.servers)

    def __enter__(self):
        return self._context.__enter__()

    def __exit__(self, *error):
        try:
            return self._context.__exit__(*error)
        except ClusterError:
            self._queue._lost = True
            raise
