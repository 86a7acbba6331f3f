"""A queue of steps for parameter-server training, and a watchdog for hanging processes."""

import collections
import concurrent.futures
import sys
import threading
import time
import weakref
from collections.abc import Callable

import tensorflow as tf

from lmn_tf.distribute.cluster.cluster import ClusterError, answers, cluster_errors
from lmn_tf.keras_internals import cluster_jobs


class Watchdog:
    """Reports the workers and servers that do not answer when training makes no progress.

    A process that was killed closes its connections, and TensorFlow notices. One that is suspended,
    swapped out or behind a broken network does not: its step never ends. When no step has ended for
    a while, the watchdog pings each process, and reports those that do not answer, and those that
    answer again.

    Args:
        tasks: Dictionary from `"host:port"` to the name of the process there.
        is_waiting: Function that returns whether any step is pending.
        seconds: Float. Seconds without a finished step after which processes are pinged. Defaults
            to `60.0`.
        say: Function that is called with each line. Defaults to `None`: to stderr.

    Example:

    >>> watchdog = Watchdog({"127.0.0.1:1": "Worker 0"}, is_waiting=lambda: False)
    >>> watchdog.silent(patience=1.0)
    ['Worker 0']
    """

    def __init__(
        self,
        tasks: dict[str, str],
        is_waiting: Callable[[], bool],
        seconds: float = 60.0,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.tasks = dict(tasks)
        self.seconds = seconds
        self._is_waiting = is_waiting
        self._say = say or _to_stderr
        self._named = set()
        self._progress = time.monotonic()
        self._thread = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Starts the watchdog's thread, if it is not running."""
        if self._thread is None:
            self._progress = time.monotonic()
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stops the watchdog's thread."""
        self._stopped.set()

    def beat(self) -> None:
        """Records that a step has ended."""
        self._progress = time.monotonic()
        self._named.clear()

    def silent(self, patience: float) -> list[str]:
        """Pings each process.

        Args:
            patience: Float. Seconds to wait for the answers.

        Returns:
            List of the names of those that did not answer.
        """
        # By plain sockets: TensorFlow's calls may hold Python's lock until the other side answers.
        with concurrent.futures.ThreadPoolExecutor(max(len(self.tasks), 1)) as pool:
            is_answering = list(pool.map(lambda address: answers(address, patience), self.tasks))
        pairs = zip(self.tasks.values(), is_answering, strict=True)
        return [name for name, is_there in pairs if not is_there]

    def _watch(self):
        while not self._stopped.wait(min(self.seconds / 4, 5.0)):
            still = time.monotonic() - self._progress
            if not self._is_waiting():
                self._progress = time.monotonic()
            elif still > self.seconds:
                self._report(still)

    def _report(self, still):
        names = set(self.silent(patience=min(self.seconds / 2, 10.0)))
        if not self._is_waiting():
            return
        for name in sorted(names - self._named):
            self._say(
                f"{name} does not answer: no step has ended for {still:.0f} s. End that process "
                "and start it again; if it is a worker, its step goes to another one."
            )
        for name in sorted(self._named - names):
            self._say(f"{name} answers again.")
        self._named = names


def _to_stderr(text):
    print(text, file=sys.stderr, flush=True)


class StepQueue:
    """Queue of steps that run on any free worker and return their results in order.

    At most `max_in_flight` steps are pending, which bounds the memory for batches and the staleness
    of updates: between the moment at which a step reads the weights and its own update, at most
    `max_in_flight + workers - 2` other updates can happen. A step whose worker is lost runs again
    on another one; its result is returned once. If the worker was lost during its update, part of
    that update may be applied twice.

    Args:
        strategy: `tf.distribute.ParameterServerStrategy`.
        max_in_flight: Integer, or `None` for twice the number of workers: one running and one
            waiting step each. Defaults to `None`.
        hang_seconds: Float. Seconds without a finished step after which processes that do not
            answer are reported. Defaults to `60.0`.
        say: Function that is called with those lines. Defaults to `None`: to stderr.

    Raises:
        ValueError: If `max_in_flight` is not positive, or a worker has several GPUs.
    """

    def __init__(
        self,
        strategy: tf.distribute.ParameterServerStrategy,
        max_in_flight: int | None = None,
        hang_seconds: float = 60.0,
        say: Callable[[str], None] | None = None,
    ) -> None:
        if strategy.num_replicas_in_sync > 1:
            raise ValueError(
                "Each worker must have at most one GPU: start one worker for each. "
                f"Received: {strategy.num_replicas_in_sync} GPUs a worker"
            )
        self.strategy = strategy
        self.coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
        spec = cluster_jobs(strategy)
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
        tasks = {address: f"Worker {i} at {address}" for i, address in enumerate(self.workers)}
        for index, address in enumerate(self.servers):
            tasks[address] = f"Parameter server {index} at {address}"
        self.watchdog = Watchdog(tasks, lambda: bool(pending), hang_seconds, say)
        # The watchdog's thread keeps a reference to the watchdog, but not to this queue.
        weakref.finalize(self, self.watchdog.stop)

    def put(self, function: Callable, args: tuple, take: Callable) -> None:
        """Schedules a step, after waiting for the oldest one if too many are pending.

        Args:
            function: `tf.function`, run on a worker.
            args: Tuple of its arguments.
            take: Function that is called with the step's result as numpy arrays, in this thread,
                by a later call of `put` or `drain`, in the order of the steps.

        Raises:
            ClusterError: If a parameter server is lost.
        """
        self.watchdog.start()
        while len(self._pending) >= self.max_in_flight:
            self.take_oldest()
        with self._errors():
            self._pending.append((self.coordinator.schedule(function, args=args), take))

    def take_oldest(self) -> None:
        """Waits for the oldest pending step and takes its result."""
        value, take = self._pending.popleft()
        with self._errors():
            result = value.fetch()
        self.watchdog.beat()
        take(result)

    def drain(self) -> None:
        """Waits for every pending step, and takes its result."""
        while self._pending:
            self.take_oldest()

    def abandon(self) -> None:
        """Waits for the pending steps and drops their results, after an error."""
        self._pending.clear()
        if self._lost:
            return
        try:
            self.coordinator.join()
        except Exception:  # The first error has been raised already.
            return

    def __len__(self):
        return len(self._pending)

    def _errors(self):
        return _Errors(self)


class _Errors:
    """Converts errors of a lost server into a `ClusterError`, and records the loss."""

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
