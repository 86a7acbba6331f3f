"""Tells which process of a run hangs."""

import concurrent.futures
import sys
import threading
import time

from lmn_tf.distribute.cluster import answers


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
