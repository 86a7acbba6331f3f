"""Clusters of workers and parameter servers: addresses, servers, connections, errors."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmn_tf.distribute.cluster.loopback import is_loopback, keep_to_loopback, listening_sockets
from lmn_tf.specs.errors import UserError, short

if TYPE_CHECKING:
    import tensorflow as tf

ROLES = ("chief", "worker", "ps")
_WORDS = {"chief": "coordinator", "worker": "worker", "ps": "parameter server"}
# A server answers the steps of all workers concurrently: with fewer threads, they would wait.
_LEAST_THREADS = 4
_OPEN = (
    "It asks for no password: whoever reaches it can read and write files as this user. Let "
    "nothing but the cluster reach it."
)
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # no settings


class ClusterError(RuntimeError):
    """Loss of a worker or parameter server that the run needs.

    Example:

    >>> str(ClusterError("Parameter server 1 no longer answers."))
    'Parameter server 1 no longer answers.'
    """


_SERVER = re.compile(r"/job:ps/(?:replica:0/)?task:(\d+)")
# A restarted server is empty: it knows neither the session nor its variables.
_EMPTY = re.compile(r"context_id|does not exist|Could not find (variable|resource)|uninitialized")


@contextlib.contextmanager
def cluster_errors(servers: Sequence[str] = ()) -> Iterator[None]:
    """Converts TensorFlow's errors about a lost parameter server into a `ClusterError`.

    TensorFlow continues without a lost worker, but raises pages of remote errors for a lost server.

    Args:
        servers: Addresses of the parameter servers. Defaults to `()`.

    Raises:
        ClusterError: If a parameter server was lost, or restarted without its variables.
    """
    import tensorflow as tf

    lost = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
    empty = (
        tf.errors.InvalidArgumentError,
        tf.errors.NotFoundError,
        tf.errors.FailedPreconditionError,
    )
    try:
        yield
    except (*lost, *empty) as error:
        match = _SERVER.search(str(error))
        if not match or (isinstance(error, empty) and not _EMPTY.search(str(error))):
            raise
        index = int(match[1])
        where = f" at {servers[index]}" if index < len(servers) else ""
        raise ClusterError(
            f"Parameter server {index}{where} no longer answers, and the part of the model that "
            "it held is lost. Start the cluster again and continue from the newest checkpoint "
            "with --resume."
        ) from error


@dataclass(frozen=True)
class Cluster:
    """The addresses of a cluster, and the task of this process.

    Args:
        workers: Tuple of `"host:port"`.
        servers: Tuple of `"host:port"`: the parameter servers.
        chief: `"host:port"` of the coordinator, or `None` for this machine. Defaults to `None`.
        role: `"chief"`, `"worker"` or `"ps"`. Defaults to `"chief"`.
        index: Integer. Index of this process within its role. Defaults to `0`.

    Example:

    >>> cluster = Cluster(("10.0.0.1:2222",), ("10.0.0.2:2222",), role="ps")
    >>> cluster.name(), cluster.address()
    ('parameter server 0', '10.0.0.2:2222')
    """

    workers: tuple
    servers: tuple
    chief: str | None = None
    role: str = "chief"
    index: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Cluster | None:
        """Reads `TF_CONFIG`.

        Args:
            environment: Mapping. Defaults to `None`: `os.environ`.

        Returns:
            A `Cluster`, or `None` where `TF_CONFIG` is not set.

        Raises:
            UserError: If `TF_CONFIG` is not JSON, has no workers or servers, or names a task
                outside of its cluster.
        """
        text = (os.environ if environment is None else environment).get("TF_CONFIG")
        if not text:
            return None
        try:
            config = json.loads(text)
            tasks = {role: tuple(config["cluster"].get(role) or ()) for role in ROLES}
            task = config.get("task") or {"type": "chief", "index": 0}
            role, index = task["type"], int(task["index"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                '`TF_CONFIG` must be JSON such as {"cluster": {"chief": ["host:port"], "worker": '
                '[...], "ps": [...]}, "task": {"type": "chief", "index": 0}}. '
                f"Received: {short(text)}"
            ) from error
        _check(tasks, role, index, config["cluster"])
        return cls(tasks["worker"], tasks["ps"], (tasks["chief"] or (None,))[0], role, index)

    def to_environment(self) -> str:
        """Returns the value of `TF_CONFIG` that `from_environment` reads."""
        tasks = {"worker": list(self.workers), "ps": list(self.servers)}
        if self.chief:
            tasks["chief"] = [self.chief]
        return json.dumps({"cluster": tasks, "task": {"type": self.role, "index": self.index}})

    def tasks(self) -> dict:
        """Maps (role, index) to the address of each worker and server."""
        return {
            (role, index): address
            for role, addresses in (("worker", self.workers), ("ps", self.servers))
            for index, address in enumerate(addresses)
        }

    def name(self, role: str | None = None, index: int | None = None) -> str:
        """Returns the name of a task for messages. Defaults to that of this process."""
        role = self.role if role is None else role
        if role == "chief":
            return _WORDS[role]
        return f"{_WORDS[role]} {self.index if index is None else index}"

    def address(self) -> str | None:
        """Returns the address of this process."""
        if self.role == "chief":
            return self.chief
        return self.tasks()[self.role, self.index]


def _check(tasks, role, index, cluster) -> None:
    if not tasks["worker"] or not tasks["ps"]:
        raise UserError(
            "`TF_CONFIG` must name at least one worker and one ps. "
            f"Received: worker={list(tasks['worker'])}, ps={list(tasks['ps'])}"
        )
    unknown = sorted(set(cluster) - set(ROLES))
    if unknown or role not in ROLES:
        raise UserError(
            f"The tasks of `TF_CONFIG` must be chief, worker and ps. Received: "
            f"{', '.join(unknown) or role}"
        )
    count = max(len(tasks[role]), role == "chief")
    if not 0 <= index < count:
        raise UserError(
            f"The task of `TF_CONFIG` must be one of its {count} of type {role}. "
            f"Received: index={index}"
        )


def serve(
    cluster: Cluster, say: Callable[[str], None] = print, wait: Callable[[], None] | None = None
) -> None:
    """Serves as a worker or parameter server until the process ends.

    If its address is a loopback address, only this machine can connect. Otherwise it listens on
    every interface, which is what TensorFlow does, and logs a warning.

    Args:
        cluster: A `Cluster` whose role is `"worker"` or `"ps"`.
        say: Function that is called with one line once the server answers. Defaults to `print`.
        wait: Function that returns when the server should end. Defaults to `None`: never.
    """
    server, warning = start_server(cluster)
    port = cluster.address().rpartition(":")[2]
    where = f"port {port} of every interface" if warning else cluster.address()
    say(f"{cluster.name()} serves at {where}.{warning and ' ' + warning}")
    (wait or server.join)()


def start_server(cluster: Cluster) -> tuple[tf.distribute.Server, str]:
    """Starts the server of a worker or parameter server.

    Args:
        cluster: A `Cluster` whose role is `"worker"` or `"ps"`.

    Returns:
        The `tf.distribute.Server`, and a warning, which is empty if only this machine can connect.
    """
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto()
    config.inter_op_parallelism_threads = max(_LEAST_THREADS, os.cpu_count() or 1)
    addresses = {"worker": list(cluster.workers), "ps": list(cluster.servers)}
    if cluster.chief:
        addresses["chief"] = [cluster.chief]
    before = listening_sockets()
    server = tf.distribute.Server(
        tf.train.ClusterSpec(addresses),
        job_name=cluster.role,
        task_index=cluster.index,
        protocol="grpc",
        config=config,
        start=False,  # It listens, but answers no one yet.
    )
    warning = _close_to_others([cluster.address()], before)
    server.start()
    return server, warning


def _close_to_others(addresses, before) -> str:
    """Restricts new listening sockets to this machine if all addresses are loopback addresses.

    Returns:
        A warning, empty if only this machine can connect.
    """
    new = listening_sockets().keys() - before.keys()
    if all(map(is_loopback, addresses)) and keep_to_loopback(new):
        return ""
    return _OPEN


def connect(
    cluster: Cluster, wait: float = 300.0, say: Callable[[str], None] = print
) -> tf.distribute.ParameterServerStrategy:
    """Connects the coordinator to its workers and servers.

    Call it before TensorFlow has created any tensor, dataset or variable in this process:
    connecting changes the names of devices.

    Args:
        cluster: A `Cluster` whose role is `"chief"`.
        wait: Float. Seconds to wait for workers and servers that do not answer yet. Defaults to
            `300.0`.
        say: Function that is called with a line when it has to wait, or when other machines can
            connect. Defaults to `print`.

    Returns:
        A `tf.distribute.ParameterServerStrategy`.

    Raises:
        ClusterError: If a worker or server does not answer in time.
    """
    wait_for_servers(cluster, wait, say)
    import tensorflow as tf

    addresses = {"worker": list(cluster.workers), "ps": list(cluster.servers)}
    task = {}
    if cluster.chief:
        addresses["chief"] = [cluster.chief]
        task = {"task_type": "chief", "task_id": 0}
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(addresses), rpc_layer="grpc", **task
    )
    before = listening_sockets()
    strategy = tf.distribute.ParameterServerStrategy(resolver)  # It listens, too.
    warning = _close_to_others(cluster.tasks().values(), before)
    if warning:
        say(f"The coordinator listens on every interface. {warning}")
    return strategy


def wait_for_servers(cluster: Cluster, wait: float, say: Callable[[str], None] = print) -> None:
    """Returns once every worker and server answers; takes the arguments of `connect`."""
    missing = dict(cluster.tasks())
    started, is_announced = time.monotonic(), False
    while True:
        missing = {task: address for task, address in missing.items() if not answers(address)}
        if not missing:
            return
        names = ", ".join(
            f"{cluster.name(*task)} at {address}" for task, address in missing.items()
        )
        if time.monotonic() - started > wait:
            raise ClusterError(
                f"Every worker and server must answer within {wait:g} s. Received: no answer from "
                f"{names}. Start what is missing, and then the coordinator again."
            )
        if not is_announced and time.monotonic() - started > 5:
            say(f"Waiting for {names}.")
            is_announced = True
        time.sleep(0.2)


def answers(address: str, patience: float = 2.0) -> bool:
    """Returns whether a TensorFlow server answers; one that is stopped or hangs does not.

    No session is needed: a gRPC server answers the preface of an HTTP/2 connection.

    Args:
        address: String, `"host:port"`.
        patience: Float. Seconds to wait for the answer. Defaults to `2.0`.
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=patience) as connection:
            connection.sendall(_HELLO)
            return bool(connection.recv(1))
    except (OSError, ValueError):
        return False


def free_ports(count: int) -> list[int]:
    """Finds free ports of this machine.

    Args:
        count: Integer. How many.
    """
    sockets = [socket.socket() for _ in range(count)]
    try:
        for server_socket in sockets:
            server_socket.bind(("127.0.0.1", 0))
        return [server_socket.getsockname()[1] for server_socket in sockets]
    finally:
        for server_socket in sockets:
            server_socket.close()
