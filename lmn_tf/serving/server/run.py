"""Process that serves an export until it is stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging.config
import math
import os
import socket
from collections.abc import Callable, Iterator

import tensorflow as tf
import uvicorn

from lmn_tf.serving.server.app import create_app
from lmn_tf.serving.server.export_folder import ExportFolder, newest_export
from lmn_tf.serving.server.metrics import Metrics
from lmn_tf.serving.server.options import ServerOptions
from lmn_tf.serving.server.served_export import ServedExport
from lmn_tf.specs.errors import UserError

_MOST_CONNECTIONS = 1000
# Longer than proxies keep theirs, which would else use one that is just being closed.
_KEPT_SECONDS = 75
_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "lmn_tf.serving": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        # Its warnings are about what clients send, which may be as much as they like.
        "uvicorn": {"handlers": ["stderr"], "level": "ERROR", "propagate": False},
    },
}


def run_server(
    folder: str | os.PathLike, options: ServerOptions, announce: Callable[[str], None] = print
) -> None:
    """Serves an export until the process is told to stop by SIGINT or SIGTERM.

    Requests that have arrived by then are answered.

    Args:
        folder: Path of an export, or of a folder of exports with numbers as names.
        options: `ServerOptions`.
        announce: Function that is called with one line once requests are accepted. Defaults to
            `print`.

    Raises:
        UserError: If the folder has no export, or the address is not free.
    """
    with bound_socket(options.host, options.port) as listener:
        newest_export(folder)
        logging.config.dictConfig(_LOGGING)
        options = _use_threads(options)
        metrics = Metrics()
        exports = ExportFolder(folder, lambda path: load_for_good(path, options), metrics)
        app = create_app(exports, options, metrics, lambda: server.should_exit)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="on",
            ws="none",
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=_KEPT_SECONDS,
            timeout_graceful_shutdown=math.ceil(options.timeout) + 1,
        )
        server = uvicorn.Server(config)
        # From here on, connections wait for the server instead of being refused.
        listener.listen(config.backlog)
        address = listener.getsockname()
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        announce(f"Serving `{exports.current.name}` at http://{host}:{address[1]}")
        server.run(sockets=[listener])


def load_for_good(folder: str | os.PathLike, options: ServerOptions) -> ServedExport:
    """Loads an export, and spares the garbage collector what there is from then on.

    It goes through all objects again and again. Those of TensorFlow are so many that no request is
    answered for some tenths of a second.

    Args:
        folder: Path of an export.
        options: `ServerOptions`.

    Returns:
        The `ServedExport`.
    """
    # What was spared before, as the export before the one that is served, may be garbage by now.
    gc.unfreeze()
    gc.collect()
    export = ServedExport(folder, options)
    gc.freeze()
    return export


@contextlib.contextmanager
def bound_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Gives a socket that is bound to an address, and does not listen yet.

    Args:
        host: String. Name or address of this machine.
        port: Integer. 0 takes any that is free.

    Raises:
        UserError: If the address is not one of this machine, or not free.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise UserError(
            "`--host` and `--port` must be a free address of this machine. "
            f"Received: {host}:{port} ({error.strerror})"
        ) from error
    with listener:
        yield listener


def _use_threads(options):
    """Gives TensorFlow as many threads as batches are scored at a time, before it is used."""
    threads = options.threads or os.cpu_count() or 1
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    return dataclasses.replace(options, threads=threads)
