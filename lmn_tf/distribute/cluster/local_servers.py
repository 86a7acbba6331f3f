"""Workers and parameter servers as processes of this machine."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import socket
import sys
import time

from lmn_tf.distribute.cluster.cluster import Cluster, answers, free_ports, start_server
from lmn_tf.tensorflow_log import turned_away_stderr

_PRELOADED = ("lmn_tf.distribute.cluster.quiet_import", "lmn_tf.distribute.cluster.cluster")
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_PATIENCE = 2.0  # seconds that a worker has to answer, at most


class LocalServers:
    """Starts the workers and parameter servers of a cluster, and keeps the workers running.

    TensorFlow is loaded once, by a process from which the others are forked: a second worker, or
    one that takes the place of a dead one, is there at once. A worker that dies is started again,
    since training goes on without it meanwhile; a parameter server is not, since what it held is
    lost with it. A worker that no longer answers, since it was stopped for instance, is ended and
    started again. However this process ends, its servers end with it.

    The servers answer this machine alone, on ports that are held for them until they end; where
    the system can not do that, each says so on stderr.

    Args:
        workers: Integer. How many workers.
        servers: Integer. How many parameter servers.
        say: Function that is given a line for each process that died. Defaults to `print`.
        most_restarts: Integer. How often workers are started again in all. Defaults to `20`.
        hang_seconds: Float. After how many seconds without an answer a worker that has answered
            before is started again. Defaults to `60.0`.

    Attributes:
        cluster: The `Cluster`, as its coordinator is to see it.
    """

    def __init__(self, workers, servers, say=print, most_restarts=20, hang_seconds=60.0):
        self._held = [_hold(port) for port in free_ports(workers + servers)]
        ports = [f"127.0.0.1:{one.getsockname()[1]}" for one in self._held]
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

    def pid(self, role, index):
        """Gives the process id of a task.

        Args:
            role: `"worker"` or `"ps"`.
            index: Integer.
        """
        return self._processes[role, index].pid

    def tend(self):
        """Starts workers again that are dead or hang; to be called every now and then.

        Returns:
            `None`, or the name of a process that is dead for good.
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
        # Rounds are counted rather than seconds: when all was stopped together, as by Ctrl-Z, and
        # goes on, one round is missed.
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

    def stop(self):
        """Ends every process, and lets go of their ports."""
        for process in self._processes.values():
            if process.is_alive():
                process.kill()  # SIGKILL also ends a process that is stopped.
        for process in self._processes.values():
            process.join()
        self._processes.clear()
        for one in self._held:
            one.close()


def _hold(port):
    """Binds a port, or another one where it has been taken, so that nobody else's process can.

    Returns:
        The socket, which does not listen.
    """
    for wanted in (port, 0):
        one = socket.socket()
        try:
            one.bind(("", wanted))
        except OSError:
            one.close()
            if not wanted:
                raise
            continue
        # Set after binding: the port was free, and from now on processes of this user share it.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return one


def _ending(status):
    return f"signal {-status}" if status and status < 0 else f"status {status}"


def _serve(cluster, is_quiet):
    """Serves in a forked process until that ends, or the process that launched it."""
    # Ctrl-C reaches the whole group of a terminal: the launcher decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if cluster.role == "ps":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # Rows are updated where they are, in memory.
    os.environ["TF_GRPC_REUSE_PORT"] = "1"  # The launcher holds the port.
    with turned_away_stderr() if is_quiet else contextlib.nullcontext():
        _, warning = start_server(cluster)
    if warning:
        place = f"port {cluster.address().rpartition(':')[2]} of every interface"
        print(f"{cluster.name()} listens at {place}. {warning}", file=sys.stderr, flush=True)
    multiprocessing.parent_process().join()
    os._exit(0)  # Whoever launched it is gone: there is nothing to clean up for.


def die_with_parent():
    """Has this process killed when the one that started it ends, where the system can do that."""
    with contextlib.suppress(OSError, AttributeError):  # Not Linux.
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
