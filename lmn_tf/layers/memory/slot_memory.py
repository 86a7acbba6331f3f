"""Base of layers that read values from the slots of a table."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from lmn_tf.distribute.tables.rows import ChunkedStorageMixin


class SlotMemoryMixin(ChunkedStorageMixin):
    """Mixin of Keras layers that read values from the slots of a table, and tell which ones.

    Diagnostics find the memories of a model by it. Such a layer calls `_watcher`, if there is one,
    at each read: with a record that has `slots` and `weights` of shape `(queries, heads, top_k)`.

    Attributes:
        memory_size: Integer. Number of slots.
        memory_values: Variable of shape `(memory_size, d)`, or a table that is split over devices.
    """

    _watcher: Callable | None = None

    @contextlib.contextmanager
    def watched(self, watcher: Callable[[Any, tf.Tensor | None], Any]) -> Iterator[None]:
        """Reports each read while the layer, or a model with it, runs in the block.

        Reads outside of the block have no extra cost. Within a `tf.function`, the block applies
        while the function is traced, and the tensors are those of the graph.

        Args:
            watcher: Function called with the read, such as a `MemoryReading`, and the mask of shape
                `(queries,)`: boolean, or float that is how often a query counts; or `None` if every
                query counts.
        """
        before, self._watcher = self._watcher, watcher
        try:
            yield
        finally:
            self._watcher = before
