"""Base of layers that read values from the slots of a table."""

from lmn_tf.distribute.tables.rows import ChunkedStorageMixin
from lmn_tf.layers.watched import WatchedMixin


class SlotMemoryMixin(WatchedMixin, ChunkedStorageMixin):
    """Mixin of Keras layers that read values from the slots of a table, and tell which ones.

    Diagnostics find the memories of a model by it. Each read is reported, such as a
    `MemoryReading`, which has `slots` and `weights` of shape `(queries, heads, top_k)`; and with
    it the mask of shape `(queries,)`: boolean, or float that is how often a query counts; or
    `None` if every query counts.

    Attributes:
        memory_size: Integer. Number of slots.
        memory_values: Variable of shape `(memory_size, d)`, or a table that is split over devices.
    """
