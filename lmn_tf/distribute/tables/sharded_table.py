"""A table whose rows are sharded over replicas."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.distribute.collectives import all_to_all, replica_count, replica_id, sum_in_order
from lmn_tf.distribute.tables.exchange_cost import choose_exchange
from lmn_tf.distribute.tables.row_wise_table import RowWiseTable
from lmn_tf.distribute.tables.rows import (
    CHUNK_BYTES,
    RowSplit,
    copy_rows,
    initial_rows,
    part_sizes,
    row_chunks,
)
from lmn_tf.keras_internals import set_tf_variable
from lmn_tf.ops.compile import runs_sparse_products
from lmn_tf.ops.rows.dense_gather import dense_gather, permuted
from lmn_tf.ops.rows.distinct_ids import distinct_ids
from lmn_tf.ops.rows.weighted_gather import weighted_gather, weighted_segment_sum


class ShardedTable(RowWiseTable, keras.Variable):
    """A Keras variable of shape `(n, d)` whose row `i` is on replica `i % R` only.

    Each replica holds `n / R` rows and the optimizer's state of them. A read has three steps:

    - `input_dist` sends each id to the replica that holds its row;
    - `lookup`: each replica reads its own rows;
    - `output_dist` sends the results back.

    There are two ways to read weighted sums: `"rows"` sends the distinct rows, as for `lookup`;
    `"sums"` also sends the weights, and each shard sums its own rows and sends one vector per
    query. `exchange_bytes` computes the bytes of each. Gradients are sent in reverse, and are
    `tf.IndexedSlices` of a shard that have been summed over replicas: a shard is trained on its
    device, by a `RowOptimizer` only.

    To all other code it is one variable of `n` rows: `shape`, `numpy`, `assign`, saving and loading
    are those of the whole table, ordered by id. Outside of `strategy.run`, all shards are read.

    Args:
        shape: Tuple, `(n, d)`, or `(n,)` for an optimizer's state of rows.
        initializer: Keras initializer.
        strategy: `tf.distribute.MirroredStrategy`. Defaults to `None`: the one in scope.
        exchange: `"rows"`, `"sums"` or `"auto"`, the one that sends fewer bytes. Defaults to
            `"auto"`.
        trainable: Boolean. Defaults to `True`.
        name: String. Defaults to `None`.

    Example:

    >>> strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    >>> table = ShardedTable((5, 2), keras.initializers.Ones(), strategy)
    >>> table.lookup(np.array([4, 0])).shape
    TensorShape([2, 2])
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        initializer: keras.initializers.Initializer,
        strategy: tf.distribute.Strategy | None = None,
        exchange: str = "auto",
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        self.strategy = strategy or tf.distribute.get_strategy()
        self.exchange = exchange
        self._split = None
        super().__init__(
            initializer,
            shape=shape,
            dtype="float32",
            trainable=trainable,
            autocast=False,
            name=name,
        )

    def _initialize_with_initializer(self, initializer):
        devices = self.strategy.extended.worker_devices
        shape = tuple(self.shape)
        row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * 4

        def make():
            shards = []
            for index, size in enumerate(part_sizes(shape[0], len(devices))):
                with tf.device(devices[index]):
                    shards.append(
                        tf.Variable(
                            tf.zeros((size, *shape[1:])),
                            trainable=self.trainable,
                            name=f"{self.name}_{index}",
                        )
                    )
            split = RowSplit(shards)
            for start, rows in initial_rows(initializer, shape, CHUNK_BYTES // max(row_bytes, 1)):
                split.set_rows(start, rows)
            return split

        self._split = outside_strategies(make)
        set_tf_variable(self, self._split.parts)

    def lookup(self, ids: tf.Tensor) -> tf.Tensor:
        ids = tf.convert_to_tensor(ids)
        flat = tf.reshape(ids, [-1])
        if self._split is None:  # while Keras only asks for shapes
            rows = tf.zeros([tf.size(flat), *self.shape[1:]])
        else:
            rows = self._lookup_flat(flat)
        rows = tf.reshape(rows, tf.concat([tf.shape(ids), list(self.shape[1:])], axis=0))
        return tf.ensure_shape(rows, [*ids.shape, *self.shape[1:]])

    def weighted_sum(self, ids: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        ids, weights = tf.convert_to_tensor(ids), tf.convert_to_tensor(weights)
        hits, width = tf.shape(ids)[-1], self.shape[-1]
        flat = tf.reshape(ids, [-1, hits])  # (N, k)
        if self._split is None:
            sums = tf.zeros([tf.shape(flat)[0], width])
        else:
            sums = self._sum_flat(flat, tf.reshape(weights, [-1, hits]))
        sums = tf.reshape(sums, tf.concat([tf.shape(ids)[:-1], [width]], axis=0))
        return tf.ensure_shape(sums, [*ids.shape[:-1], width])

    def _lookup_flat(self, ids):
        """Rows of `(N,)` ids, as `(N, d)`."""
        if not self._is_distributed():
            return self._split.lookup(ids)
        distinct, positions = distinct_ids(ids)
        return dense_gather(self._exchange_rows(distinct), positions)

    def _sum_flat(self, ids, weights):
        """Weighted sums of `(N, k)` ids, as `(N, d)`."""
        if not self._is_distributed():
            distinct, positions = distinct_ids(ids)
            return weighted_gather(self._split.lookup(distinct), positions, weights)
        if self._exchange_for(ids) == "rows":
            return self._sum_rows(ids, weights)
        return self._exchange_sums(ids, weights)

    def _is_distributed(self):
        if replica_count() == 1:
            return False
        return tf.distribute.get_strategy() is self.strategy

    def _exchange_for(self, ids):
        if self.exchange != "auto":
            return self.exchange
        queries = ids.shape[:-1].num_elements()
        return choose_exchange(
            shards=len(self._split.parts),
            hits=ids.shape[-1] or 1,
            width=self.shape[-1],
            num_rows=self.shape[0],
            queries=queries,
        )

    def _exchange_rows(self, ids):
        """Rows of distinct ids `(U,)`, as `(U, d)`."""
        sent = input_dist(ids, len(self._split.parts))
        asked = all_to_all(sent.ids)
        rows = tf.gather(self.value, _from_words(tf.concat(asked, axis=0)))  # (requests, d)
        return output_dist_rows(rows, asked, sent)

    def _sum_rows(self, ids, weights):
        distinct, positions = distinct_ids(ids)
        rows = self._exchange_rows(distinct)
        queries = tf.shape(ids)[0]
        each = tf.broadcast_to(tf.range(queries)[:, None], tf.shape(ids))
        flat = (tf.reshape(part, [-1]) for part in (positions, weights, each))
        return weighted_segment_sum(rows, *flat, queries)

    def _exchange_sums(self, ids, weights):
        """Weighted sums of `(N, k)` ids, as `(N, d)`."""
        sent = input_dist(tf.reshape(ids, [-1]), len(self._split.parts))
        counts = _counts_by_shard(ids, len(self._split.parts))
        asked = tf.concat(all_to_all(sent.ids), axis=0)
        asked_weights = tf.concat(all_to_all(sent.take(tf.reshape(weights, [-1]))), axis=0)
        asked_counts = all_to_all(counts)
        sizes = [tf.shape(part)[0] for part in asked_counts]
        queries = tf.add_n(sizes)
        entries = tf.cast(tf.concat(asked_counts, axis=0), tf.int32)
        segments = tf.repeat(tf.range(queries), entries)
        local = _from_words(asked)
        if runs_sparse_products(tf.float32):
            local, positions = distinct_ids(local)
        else:
            positions = tf.range(tf.size(local))
        rows = tf.gather(self.value, local)
        sums = weighted_segment_sum(rows, positions, asked_weights, segments, queries)
        return output_dist_sums(sums, sizes)

    @property
    def value(self) -> tf.Variable:
        """The shard of the calling replica, a `tf.Variable`."""
        if self._split is None or not self._is_distributed():
            raise ValueError(
                f"the shards of `{self.path}` must be read by replicas, or as a whole by "
                "`numpy()`. Only row-wise optimizers (`row_wise_adagrad`, `row_wise_adam`, "
                "`row_wise_sgd`, `sparse_adagrad`) can train it: others need its placement to be "
                "replicated"
            )
        return self._split.parts[replica_id()]

    @property
    def shards(self) -> tuple[tf.Variable, ...]:
        """Tuple of the `tf.Variable` of each replica."""
        return self._split.parts

    def get_rows(self, start: int, stop: int) -> np.ndarray:
        """Reads rows `start` to `stop` of the whole table as one numpy array."""
        return self._split.get_rows(start, stop)

    def set_rows(self, start: int, rows: np.ndarray | tf.Tensor) -> None:
        """Writes rows of the whole table from `start` on."""
        self._split.set_rows(start, rows)

    def assign(self, value: Any) -> Any:
        """Writes the whole table from any object that can be sliced by rows."""
        if tuple(value.shape) != tuple(self.shape):
            raise ValueError(
                f"`value` must have the shape {tuple(self.shape)} of `{self.path}`. "
                f"Received: value.shape={tuple(value.shape)}"
            )
        copy_rows(value, self)
        return value

    def numpy(self) -> np.ndarray:
        whole = np.empty(tuple(self.shape), "float32")
        for start, stop in row_chunks(whole.shape, whole.itemsize):
            whole[start:stop] = self.get_rows(start, stop)
        return whole

    def __array__(self, dtype=None, copy=None):
        del copy  # The result always is a copy.
        return self.numpy().astype(dtype or "float32", copy=False)

    def __tf_tensor__(self, dtype=None, name=None):
        # For callers that read the whole table, such as histograms.
        whole = self._split.lookup(tf.range(self.shape[0]))
        return whole if dtype is None else tf.cast(whole, dtype)

    def __repr__(self):
        return f"<ShardedTable path={self.path}, shape={tuple(self.shape)}>"

    def companion(self, shape: tuple[int, ...], value: float, name: str) -> ShardedTable:
        """Creates a table with the sharding of this one, such as an optimizer's state.

        Args:
            shape: Tuple. As many rows as this one has, of any width.
            value: Float. Initial value of all elements.
            name: String.

        Returns:
            A `ShardedTable` that is not trainable.
        """
        initializer = keras.initializers.Constant(value)
        return ShardedTable(shape, initializer, self.strategy, trainable=False, name=name)


class _Sent:
    """Ids split by the shard that holds them.

    `ids` are words of 4 bytes, one tensor per shard; `order` holds their original positions.
    """

    def __init__(self, ids, shards, count):
        self._shards, self._count = shards, count
        self.ids = self.take(ids)
        self.order = self.take(tf.range(tf.size(shards)))

    def take(self, tensor):
        """Splits another tensor in the same way."""
        return tf.dynamic_partition(tensor, self._shards, self._count)


def input_dist(ids: tf.Tensor, shards: int) -> _Sent:
    """Splits ids `(M,)` by shard, and converts them to row numbers within the shard."""
    # As 64-bit integers, for which GPUs have kernels; 4 bytes of them are sent.
    ids = tf.cast(ids, tf.int64)
    return _Sent(_to_words(ids // shards), tf.cast(ids % shards, tf.int32), shards)


def output_dist_rows(rows: tf.Tensor, asked: list[tf.Tensor], sent: _Sent) -> tf.Tensor:
    """Sends rows back to the replicas that requested them, in the order of their ids."""
    sizes = [tf.shape(part)[0] for part in asked]
    back = tf.concat(all_to_all(tf.split(rows, sizes, num=len(asked))), axis=0)
    return permuted(back, tf.concat(sent.order, axis=0))


def output_dist_sums(sums: tf.Tensor, sizes: list[tf.Tensor]) -> tf.Tensor:
    """Sends a shard's sums back to the replicas of the queries, which sum over shards."""
    return sum_in_order(all_to_all(tf.split(sums, sizes, num=len(sizes))))


def _counts_by_shard(ids, shards):
    """Counts of each query's ids `(N, k)` by shard: a float32 tensor `(N,)` per shard."""
    shard_of_ids = tf.cast(tf.cast(ids, tf.int64) % shards, tf.int32)
    return [
        tf.reduce_sum(tf.cast(tf.equal(shard_of_ids, index), tf.float32), axis=1)
        for index in range(shards)
    ]


def _to_words(ids):
    # TensorFlow keeps 32-bit integers in host memory; floats of the same bits stay on the GPU.
    return tf.bitcast(tf.cast(ids, tf.int32), tf.float32)


def _from_words(words):
    return tf.cast(tf.bitcast(words, tf.int32), tf.int64)


def outside_strategies(function: Callable[[], Any]) -> Any:
    """Calls a function eagerly, outside of the caller's scopes and graphs, and returns its result.

    Scopes and graphs belong to a thread, so the function runs in a separate thread.

    Args:
        function: Function without arguments.
    """
    results = []

    def call():
        try:
            results.append((function(), None))
        except BaseException as error:  # raised again in the calling thread
            results.append((None, error))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    value, error = results[0]
    if error is not None:
        raise error
    return value
