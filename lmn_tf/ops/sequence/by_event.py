"""Notes of what is computed event by event."""

import contextlib
import threading
from collections.abc import Iterator

import tensorflow as tf

_state = threading.local()


def by_event(values: tf.Tensor) -> tf.Tensor:
    """Notes that values are computed event by event, of its fields and its user alone.

    Such values can be kept when more events of the user come in: see `noted_events`. Elsewhere this
    does nothing.

    Args:
        values: Tensor of shape `(events, ...)`.

    Returns:
        The same tensor.
    """
    noted = getattr(_state, "noted", None)
    if noted is not None:
        noted.append(values)
    return values


@contextlib.contextmanager
def noted_events() -> Iterator[list[tf.Tensor]]:
    """Lists what `by_event` is called with in the block, in this thread.

    Example:

    >>> with noted_events() as noted:
    ...     values = by_event(tf.ones([3, 2]))
    >>> noted[0] is values
    True
    """
    before, _state.noted = getattr(_state, "noted", None), []
    try:
        yield _state.noted
    finally:
        _state.noted = before
