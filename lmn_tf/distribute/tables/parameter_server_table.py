"""A table whose rows are split over parameter servers."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.distribute.tables.rows import CHUNK_BYTES, RowSplit, initial_rows, part_sizes
from lmn_tf.distribute.tables.sharded_slices import ShardedSlices
from lmn_tf.distribute.tables.sharded_table import ShardedTable, outside_strategies
from lmn_tf.keras_internals import cluster_jobs, set_tf_variable, tf_variable
from lmn_tf.ops.rows.dense_gather import dense_gather
from lmn_tf.ops.rows.distinct_ids import distinct_ids
from lmn_tf.ops.rows.sparse_product import SparseMatrix
from lmn_tf.ops.rows.weighted_gather import weighted_gather

_LEAST_ROWS = 100_000  # of a table that no batch reads as a whole


class ParameterServerTable(ShardedTable):
    """A Keras variable of shape `(n, d)` whose row `i` is on parameter server `i % P` only.

    A worker requests each distinct row that it reads from its server, and sends the merged gradient
    of these rows back: `4 + 8 * d` bytes per row. There are two ways to read weighted sums of `K`
    rows per query: `"rows"`, as for look-ups; and `"sums"`, which sends ids and weights, and has
    each server sum its own rows, send one vector per query, and keep the gradient of its rows:
    `12 * K + P * (4 + 8 * d)` bytes per query.

    A `RowOptimizer` updates rows, and its state of them, on the server that holds them; no other
    optimizer can train the table. Steps of several workers read and write concurrently: no update
    is lost, but each is computed from the rows that its worker read.

    To all other code it is one variable of `n` rows, as a `ShardedTable` is.

    Args:
        shape: Tuple, `(n, d)`, or `(n,)` for an optimizer's state of rows.
        initializer: Keras initializer.
        strategy: `tf.distribute.ParameterServerStrategy`. Defaults to `None`: the one in scope.
        exchange: `"rows"`, `"sums"` or `"auto"`: the one that sends fewer bytes, but rows if the
            table is so small that a batch may read all of it (our choice: below 100,000 rows).
            Defaults to `"auto"`.
        trainable: Boolean. Defaults to `True`.
        name: String. Defaults to `None`.
        devices: List of the devices of the parts. Defaults to `None`: those of the strategy's
            servers.

    Example:

    >>> ones = keras.initializers.Ones()
    >>> table = ParameterServerTable((5, 2), ones, devices=["/device:CPU:0"] * 2)
    >>> [tuple(part.shape) for part in table.shards], table.lookup([4, 0]).shape
    ([(3, 2), (2, 2)], TensorShape([2, 2]))
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        initializer: keras.initializers.Initializer,
        strategy: tf.distribute.ParameterServerStrategy | None = None,
        exchange: str = "auto",
        trainable: bool = True,
        name: str | None = None,
        devices: list[str] | None = None,
    ) -> None:
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
                    # Not trainable for the tape, which watches the whole table, `value`.
                    # No other reference to the zeros: the first write would copy them.
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
    def value(self) -> tf.Variable:
        """The variable that gradients are taken for: an empty stand-in for the whole table."""
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
        """Rows of distinct ids `(U,)`; the gradient of the table is sparse."""

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
        """Weighted sums of `(N, k)` ids, as `(N, d)`: each server sums its own rows."""
        count, queries = len(self.shards), tf.shape(ids)[0]
        each = tf.reshape(tf.broadcast_to(tf.range(queries)[:, None], tf.shape(ids)), [-1])
        ids = tf.reshape(ids, [-1])
        servers = tf.cast(ids % count, tf.int32)

        def cut(tensor):
            return tf.dynamic_partition(tensor, servers, count)

        local_ids, segments, order = cut(ids // count), cut(each), cut(tf.range(tf.size(ids)))

        @tf.custom_gradient
        def summed(whole, weights):
            sums = []
            for shard, *entries in zip(self.shards, local_ids, cut(weights), segments, strict=True):
                with tf.device(shard.device):
                    sums.append(_ServerSums(shard, *entries, queries))

            def gradient(upstream):
                of_rows, of_weights = zip(
                    *(server_sums.gradients(upstream) for server_sums in sums), strict=True
                )
                slices = ShardedSlices(of_rows, self._devices, tuple(self.shape))
                return slices, tf.dynamic_stitch(order, of_weights)

            return tf.add_n([server_sums.total for server_sums in sums]), gradient

        return summed(tf.convert_to_tensor(self.value), tf.reshape(weights, [-1]))

    def split(self, gradient: tf.IndexedSlices) -> Sequence[tf.IndexedSlices]:
        """Splits sparse rows of the table by the server that holds them.

        Args:
            gradient: `tf.IndexedSlices` with distinct indices; `ShardedSlices` are split already.

        Returns:
            Sequence with a `tf.IndexedSlices` for each of `shards`.
        """
        if isinstance(gradient, ShardedSlices):
            return gradient.parts
        count = len(self.shards)
        servers = tf.cast(gradient.indices % count, tf.int32)
        ids = tf.dynamic_partition(gradient.indices // count, servers, count)
        rows = tf.dynamic_partition(gradient.values, servers, count)
        return [tf.IndexedSlices(*part) for part in zip(rows, ids, strict=True)]

    def companion(self, shape: tuple[int, ...], value: float, name: str) -> ParameterServerTable:
        initializer = keras.initializers.Constant(value)
        return ParameterServerTable(
            shape, initializer, self.strategy, trainable=False, name=name, devices=self._devices
        )

    def __repr__(self):
        return f"<ParameterServerTable path={self.path}, shape={tuple(self.shape)}>"


class _ServerSums:
    """Weighted sums of the rows of one server, computed on its device."""

    def __init__(self, shard, ids, weights, segments, queries):
        self._shard, self._segments = shard, segments
        self._ids, self._positions = distinct_ids(ids)
        self._rows = tf.gather(shard, self._ids)
        size = tf.size(self._ids)
        self._matrix = SparseMatrix(segments, self._positions, weights, queries, size)
        self.total = self._matrix.product(self._rows)

    def gradients(self, upstream):
        """Returns the gradient of the rows, which stays on the server, and of the weights."""
        with tf.device(self._shard.device):
            each = tf.gather(upstream, self._segments)
            of_weights = tf.reduce_sum(tf.gather(self._rows, self._positions) * each, axis=-1)
            of_rows = self._matrix.transposed_product(upstream)
            return tf.IndexedSlices(of_rows, self._ids), of_weights
