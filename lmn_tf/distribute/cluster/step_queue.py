"""Tells which process of a run hangs."""

import collections
import concurrent.futures
import sys
import threading
import time
import weakref

import tensorflow as tf

from lmn_tf.distribute.cluster.cluster import ClusterError, answers, cluster_errors
from lmn_tf.keras_internals import cluster_jobs


class Watchdog:
    """Names the workers and servers that do not answer when training stands still.

    A process that was killed closes its connections, and TensorFlow notices. One that is stopped,
    swapped out or behind a broken network does not: its step never ends. So when no step has ended
    for a while, each process is greeted, and those that do not answer are named; those that answer
    again are named as well.

    Args:
        tasks: Dictionary from `"host:port"` to what to call the process there.
        is_waiting: Function that says whether there are steps to wait for.
        seconds: Float. How long no step may end before the processes are asked. Defaults to
            `60.0`.
        say: Function that is given each line. Defaults to `None`: to stderr.

    Example:

    >>> watchdog = Watchdog({"127.0.0.1:1": "Worker 0"}, is_waiting=lambda: False)
    >>> watchdog.silent(patience=1.0)
    ['Worker 0']
    """

    def __init__(self, tasks, is_waiting, seconds=60.0, say=None):
        self.tasks = dict(tasks)
        self.seconds = seconds
        self._is_waiting = is_waiting
        self._say = say or _to_stderr
        self._named = set()
        self._progress = time.monotonic()
        self._thread = None
        self._stopped = threading.Event()

    def start(self):
        """Begins to watch; once is enough."""
        if self._thread is None:
            self._progress = time.monotonic()
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()

    def stop(self):
        """Ends the watch."""
        self._stopped.set()

    def beat(self):
        """Says that a step has ended."""
        self._progress = time.monotonic()
        self._named.clear()

    def silent(self, patience):
        """Asks each process whether it is there.

        Args:
            patience: Float. Seconds to wait for the answers.

        Returns:
            List of the names of those that did not answer.
        """
        # By sockets alone: TensorFlow's calls may hold Python's lock until the other side answers.
        with concurrent.futures.ThreadPoolExecutor(max(len(self.tasks), 1)) as pool:
            found = list(pool.map(lambda place: answers(place, patience), self.tasks))
        pairs = zip(self.tasks.values(), found, strict=True)
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
