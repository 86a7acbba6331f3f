"""Workers and parameter servers as processes of this machine."""

import contextlib
import ctypes
import multiprocessing
import os
import signal

from lmn_tf.distribute.cluster import Cluster, free_ports, serve

_PRELOADED = ("tensorflow", "lmn_tf.distribute.cluster")
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class LocalServers:
    """Starts the workers and parameter servers of a cluster, and keeps the workers running.

    TensorFlow is loaded once, by a process from which the others are forked: a second worker, or
    one that takes the place of a dead one, is there at once. A worker that dies is started again,
    since training goes on without it meanwhile; a parameter server is not, since what it held is
    lost with it. However this process ends, its servers end with it.

    Args:
        workers: Integer. How many workers.
        servers: Integer. How many parameter servers.
        say: Function that is given a line for each process that died. Defaults to `print`.
        most_restarts: Integer. How often workers are started again in all. Defaults to `20`.

    Attributes:
        cluster: The `Cluster`, as its coordinator is to see it.
    """

    def __init__(self, workers, servers, say=print, most_restarts=20):
        ports = [f"127.0.0.1:{port}" for port in free_ports(workers + servers)]
        self.cluster = Cluster(tuple(ports[:workers]), tuple(ports[workers:]))
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
        process = self._context.Process(target=_serve, args=(cluster,), daemon=True)
        process.start()
        self._processes[task] = process

    def pid(self, role, index):
        """Gives the process id of a task.

        Args:
            role: `"worker"` or `"ps"`.
            index: Integer.
        """
        return self._processes[role, index].pid

    def tend(self):
        """Starts dead workers again.

        Returns:
            `None`, or the name of a process that is dead for good.
        """
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

    def stop(self):
        """Ends every process."""
        for process in self._processes.values():
            if process.is_alive():
                process.kill()  # SIGKILL also ends a process that is stopped.
        for process in self._processes.values():
            process.join()
        self._processes.clear()


def _ending(status):
    return f"signal {-status}" if status and status < 0 else f"status {status}"


def _serve(cluster):
    """Serves in a forked process until that ends, or the process that launched it."""
    # Ctrl-C reaches the whole group of a terminal: the launcher decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if cluster.role == "ps":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # Rows are updated where they are, in memory.
    serve(cluster, say=lambda text: None, wait=multiprocessing.parent_process().join)
    os._exit(0)  # Whoever launched it is gone: there is nothing to clean up for.


def die_with_parent():
    """Has this process killed when the one that started it ends, where the system can do that."""
    with contextlib.suppress(OSError, AttributeError):  # Not Linux.
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
