"""What went wrong between the processes of a run."""

import contextlib
import re


class ClusterError(RuntimeError):
    """A worker or parameter server that a run cannot go on without.

    Example:

    >>> str(ClusterError("Parameter server 1 no longer answers."))
    'Parameter server 1 no longer answers.'
    """


_SERVER = re.compile(r"/job:ps/(?:replica:0/)?task:(\d+)")
# A server that came back empty knows neither the session nor its variables.
_EMPTY = re.compile(r"context_id|does not exist|Could not find (variable|resource)|uninitialized")


@contextlib.contextmanager
def cluster_errors(servers=()):
    """Raises what TensorFlow says of a lost parameter server as a `ClusterError`.

    TensorFlow goes on without a worker by itself, and ends with pages of remote errors when a
    server is lost.

    Args:
        servers: Addresses of the parameter servers. Defaults to `()`.

    Raises:
        ClusterError: If a parameter server was lost, or came back without what it held.
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
        found = _SERVER.search(str(error))
        if not found or (isinstance(error, empty) and not _EMPTY.search(str(error))):
            raise
        index = int(found[1])
        place = f" at {servers[index]}" if index < len(servers) else ""
        raise ClusterError(
            f"Parameter server {index}{place} no longer answers, and the part of the model that "
            "it held is lost. Start the cluster again and continue from the newest checkpoint "
            "with --resume."
        ) from error
