"""Workers and parameter servers as processes of this machine."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable

from lmn_tf.distribute.cluster.cluster import Cluster, answers, free_ports, start_server
from lmn_tf.tensorflow_log import turned_away_stderr

_PRELOADED = ("lmn_tf.distribute.cluster.quiet_import", "lmn_tf.distribute.cluster.cluster")
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_PATIENCE = 2.0  # seconds that a worker has to answer, at most


class LocalServers:
    """Starts the workers and parameter servers of a cluster, and keeps the workers running.

    TensorFlow is loaded once, by a process from which the others are forked, so that further
    workers and replacements start at once. A worker that dies is restarted, and training continues
    without it meanwhile; a parameter server is not, since its variables are lost. A worker that no
    longer answers (because it was stopped, for instance) is killed and restarted. However this
    process ends, its servers end with it.

    Only this machine can connect to the servers, whose ports are reserved until they end; where
    the system does not support that, each warns on stderr.

    Args:
        workers: Integer. Number of workers.
        servers: Integer. Number of parameter servers.
        say: Function that is called with a line for each process that died. Defaults to `print`.
        most_restarts: Integer. Maximum number of restarts of all workers. Defaults to `20`.
        hang_seconds: Float. Seconds without an answer after which a worker that has answered
            before is restarted. Defaults to `60.0`.

    Attributes:
        cluster: The `Cluster`, as seen by the coordinator.
    """

    def __init__(
        self,
        workers: int,
        servers: int,
        say: Callable[[str], None] = print,
        most_restarts: int = 20,
        hang_seconds: float = 60.0,
    ) -> None:
        self._held = [_hold(port) for port in free_ports(workers + servers)]
        ports = [f"127.0.0.1:{held.getsockname()[1]}" for held in self._held]
        self.cluster = Cluster(tuple(ports[:workers]), tuple(ports[workers:]))
        self.hang_seconds = hang_seconds
        self._round_seconds = min(hang_seconds / 4, 5.0)
        self._next_round = 0.0
        self._silent_rounds = {}  # of each worker that has answered
        self._say = say
        self._restarts_left = most_restarts
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(_PRELOADED))
        self._processes = {}

    def __enter__(self):
        for task in self.cluster.tasks():
            self._start(task)
        return self

    def __exit__(self, *error):
        self.stop()

    def _start(self, task):
        role, index = task
        cluster = Cluster(self.cluster.workers, self.cluster.servers, None, role, index)
        is_quiet = "TF_CPP_MIN_LOG_LEVEL" not in os.environ
        process = self._context.Process(target=_serve, args=(cluster, is_quiet), daemon=True)
        process.start()
        self._processes[task] = process
        self._silent_rounds.pop(task, None)

    def pid(self, role: str, index: int) -> int:
        """Returns the process id of a task.

        Args:
            role: `"worker"` or `"ps"`.
            index: Integer.
        """
        return self._processes[role, index].pid

    def tend(self) -> str | None:
        """Restarts workers that are dead or hang; to be called regularly.

        Returns:
            `None`, or the name of a process that cannot be restarted.
        """
        now = time.monotonic()
        if now >= self._next_round:
            self._next_round = now + self._round_seconds
            self._end_hanging()
        for task, process in list(self._processes.items()):
            if process.is_alive():
                continue
            name = self.cluster.name(*task)
            if task[0] == "ps" or self._restarts_left < 1:
                return f"{name} ({_ending(process.exitcode)})"
            self._restarts_left -= 1
            self._start(task)
            pid = self.pid(*task)
            self._say(f"{name} ended ({_ending(process.exitcode)}): started again as {pid}.")
        return None

    def _end_hanging(self):
        # Counts rounds rather than seconds: after all processes were suspended together, as by
        # Ctrl-Z, only one round is missed.
        patience = min(_PATIENCE, self._round_seconds)
        for index, address in enumerate(self.cluster.workers):
            task = "worker", index
            if answers(address, patience):
                self._silent_rounds[task] = 0
            elif task in self._silent_rounds:
                self._silent_rounds[task] += 1
                if self._silent_rounds[task] * self._round_seconds >= self.hang_seconds:
                    name = self.cluster.name(*task)
                    self._say(f"{name} has not answered for {self.hang_seconds:g} s: ended.")
                    process = self._processes[task]
                    process.kill()
                    process.join()

    def stop(self) -> None:
        """Kills every process, and releases their ports."""
        for process in self._processes.values():
            if process.is_alive():
                process.kill()  # SIGKILL also ends a process that is stopped.
        for process in self._processes.values():
            process.join()
        self._processes.clear()
        for held in self._held:
            held.close()


def _hold(port):
    """Reserves a port, or another one if it is taken, by binding it.

    Returns:
        The socket, which does not listen.
    """
    for wanted in (port, 0):
        held = socket.socket()
        try:
            held.bind(("", wanted))
        except OSError:
            held.close()
            if not wanted:
                raise
            continue
        # Set after binding: the port was free, and only processes of this user can share it now.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return held


def _ending(status):
    return f"signal {-status}" if status and status < 0 else f"status {status}"


def _serve(cluster, is_quiet):
    """Serves in a forked process until it, or the process that launched it, ends."""
    # Ctrl-C reaches the whole group of a terminal: the launcher decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if cluster.role == "ps":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # Rows are updated in place, in memory.
    os.environ["TF_GRPC_REUSE_PORT"] = "1"  # The launcher holds the port.
    with turned_away_stderr() if is_quiet else contextlib.nullcontext():
        _, warning = start_server(cluster)
    if warning:
        where = f"port {cluster.address().rpartition(':')[2]} of every interface"
        print(f"{cluster.name()} listens at {where}. {warning}", file=sys.stderr, flush=True)
    multiprocessing.parent_process().join()
    os._exit(0)  # The launcher is gone: there is nothing to clean up.


def die_with_parent() -> None:
    """Makes this process die with its parent, where the system supports it."""
    with contextlib.suppress(OSError, AttributeError):  # Not Linux.
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
