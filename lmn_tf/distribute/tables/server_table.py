"""A table whose rows are split over parameter servers."""

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.distribute.tables.parted_slices import PartedSlices
from lmn_tf.distribute.tables.rows import CHUNK_BYTES, RowSplit, initial_rows, part_sizes
from lmn_tf.distribute.tables.sharded_table import ShardedTable, outside_strategies
from lmn_tf.keras_internals import cluster_jobs, set_tf_variable, tf_variable
from lmn_tf.ops.rows.dense_gather import dense_gather
from lmn_tf.ops.rows.distinct_ids import distinct_ids
from lmn_tf.ops.rows.sparse_product import SparseMatrix
from lmn_tf.ops.rows.weighted_gather import weighted_gather

_LEAST_ROWS = 100_000  # of a table of which a batch reads a part only


class ServerTable(ShardedTable):
    """A Keras variable of shape `(n, d)` whose row `i` lies on parameter server `i % P` alone.

    A worker asks each server for the rows that it reads, each once a read, and sends the merged
    gradient of these rows back: `4 + 8 * d` bytes a row. Weighted sums of `K` rows a query go one
    of two ways: `"rows"` as for look-ups; `"sums"` sends ids and weights, and each server adds up
    its own rows, sends one vector a query, and keeps the gradient of its rows: `12 * K + P *
    (4 + 8 * d)` bytes a query.

    A `RowOptimizer` updates rows, and what it remembers of them, on the server that holds them; no
    other optimizer can train the table. Steps of several workers read and write at the same time:
    of updates of one row at once none is lost, but each is taken from what its worker read.

    To all else it is one variable of `n` rows, as a `ShardedTable` is.

    Args:
        shape: Tuple, `(n, d)`, or `(n,)` for what is remembered of rows.
        initializer: Keras initializer.
        strategy: `tf.distribute.ParameterServerStrategy`. Defaults to `None`: the one in scope.
        exchange: `"rows"`, `"sums"` or `"auto"`: the one of fewer bytes, but rows where the table
            is so small that a batch may read all of it (our choice: below 100,000 rows). Defaults
            to `"auto"`.
        trainable: Boolean. Defaults to `True`.
        name: String. Defaults to `None`.
        devices: List of the devices of the parts. Defaults to `None`: those of the strategy's
            servers.

    Example:

    >>> ones = keras.initializers.Ones()
    >>> table = ServerTable((5, 2), ones, devices=["/device:CPU:0"] * 2)
    >>> [tuple(part.shape) for part in table.shards], table.lookup([4, 0]).shape
    ([(3, 2), (2, 2)], TensorShape([2, 2]))
    """

    def __init__(
        self,
        shape,
        initializer,
        strategy=None,
        exchange="auto",
        trainable=True,
        name=None,
        devices=None,
    ):
        self._devices = devices
        super().__init__(shape, initializer, strategy, exchange, trainable, name)

    def _initialize_with_initializer(self, initializer):
        if self._devices is None:
            servers = len(cluster_jobs(self.strategy)["ps"])
            self._devices = [f"/job:ps/replica:0/task:{i}/device:CPU:0" for i in range(servers)]
        shape = tuple(self.shape)
        row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * 4

        def make():
            parts = []
            sizes = part_sizes(shape[0], len(self._devices))
            for index, (device, size) in enumerate(zip(self._devices, sizes, strict=True)):
                with tf.device(device):
                    # Not trainable for the tape: it sees the table as a whole, as `value`.
                    # Nothing else may hold the zeros: they would be copied at the first write.
                    parts.append(
                        tf.Variable(
                            tf.zeros((size, *shape[1:])),
                            trainable=False,
                            name=f"{self.name}_{index}",
                        )
                    )
            with tf.device(self._devices[0]):
                whole = tf.Variable(0.0, trainable=self.trainable, name=self.name)
            split = RowSplit(parts)
            for start, rows in initial_rows(initializer, shape, CHUNK_BYTES // max(row_bytes, 1)):
                split.set_rows(start, rows)
            return split, whole

        self._split, whole = outside_strategies(make)
        set_tf_variable(self, whole)

    @property
    def value(self):
        """What a gradient is taken for: it stands for the whole table and holds nothing."""
        return tf_variable(self)

    def _lookup_flat(self, ids):
        distinct, positions = distinct_ids(ids)
        return dense_gather(self._read(distinct), positions)

    def _sum_flat(self, ids, weights):
        if self._exchange_for(ids) == "sums":
            return self._sum_on_servers(ids, weights)
        distinct, positions = distinct_ids(ids)
        return weighted_gather(self._read(distinct), positions, weights)

    def _read(self, ids):
        """Rows of distinct ids `(U,)`; the gradient of the table is one of sparse rows."""

        @tf.custom_gradient
        def read(whole):
            def gradient(upstream):
                return tf.IndexedSlices(upstream, ids, tf.constant(tuple(self.shape), tf.int64))

            return self._split.lookup(ids), gradient

        return read(tf.convert_to_tensor(self.value))

    def _exchange_for(self, ids):
        if self.exchange != "auto":
            return self.exchange
        hits, row = ids.shape[-1] or 1, 4 + 8 * self.shape[-1]
        moves_less = 12 * hits + len(self.shards) * row < hits * row
        return "sums" if moves_less and self.shape[0] >= _LEAST_ROWS else "rows"

    def _sum_on_servers(self, ids, weights):
        """Weighted sums of `(N, k)` ids, as `(N, d)`: each server adds up its own rows."""
        count, queries = len(self.shards), tf.shape(ids)[0]
        each = tf.reshape(tf.broadcast_to(tf.range(queries)[:, None], tf.shape(ids)), [-1])
        ids = tf.reshape(ids, [-1])
        places = tf.cast(ids % count, tf.int32)

        def cut(tensor):
            return tf.dynamic_partition(tensor, places, count)

        own, segments, order = cut(ids // count), cut(each), cut(tf.range(tf.size(ids)))

        @tf.custom_gradient
        def summed(whole, weights):
            sums = []
            for shard, *entries in zip(self.shards, own, cut(weights), segments, strict=True):
                with tf.device(shard.device):
                    sums.append(_ServerSums(shard, *entries, queries))

            def gradient(upstream):
                of_rows, of_weights = zip(*(one.gradients(upstream) for one in sums), strict=True)
                slices = PartedSlices(of_rows, self._devices, tuple(self.shape))
                return slices, tf.dynamic_stitch(order, of_weights)

            return tf.add_n([one.total for one in sums]), gradient

        return summed(tf.convert_to_tensor(self.value), tf.reshape(weights, [-1]))

    def split(self, gradient):
        """Splits sparse rows of the table by the server that holds them.

        Args:
            gradient: `tf.IndexedSlices` with distinct indices; `PartedSlices` are split already.

        Returns:
            Sequence with a `tf.IndexedSlices` for each of `shards`.
        """
        if isinstance(gradient, PartedSlices):
            return gradient.parts
        count = len(self.shards)
        places = tf.cast(gradient.indices % count, tf.int32)
        ids = tf.dynamic_partition(gradient.indices // count, places, count)
        rows = tf.dynamic_partition(gradient.values, places, count)
        return [tf.IndexedSlices(*part) for part in zip(rows, ids, strict=True)]

    def companion(self, shape, value, name):
        initializer = keras.initializers.Constant(value)
        return ServerTable(
            shape, initializer, self.strategy, trainable=False, name=name, devices=self._devices
        )

    def __repr__(self):
        return f"<ServerTable path={self.path}, shape={tuple(self.shape)}>"


class _ServerSums:
    """What one server adds up; made and differentiated on its device."""

    def __init__(self, shard, ids, weights, segments, queries):
        self._shard, self._segments = shard, segments
        self._ids, self._positions = distinct_ids(ids)
        self._rows = tf.gather(shard, self._ids)
        size = tf.size(self._ids)
        self._matrix = SparseMatrix(segments, self._positions, weights, queries, size)
        self.total = self._matrix.product(self._rows)

    def gradients(self, upstream):
        """Returns the gradient of the rows, which stays there, and that of the weights."""
        with tf.device(self._shard.device):
            each = tf.gather(upstream, self._segments)
            of_weights = tf.reduce_sum(tf.gather(self._rows, self._positions) * each, axis=-1)
            of_rows = self._matrix.transposed_product(upstream)
            return tf.IndexedSlices(of_rows, self._ids), of_weights
