"""A table of which each replica holds its share of the rows."""

import threading

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.distribute.collectives import all_to_all, replica_count, replica_id
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
    """A Keras variable of shape `(n, d)` whose row `i` lies on replica `i % R` alone.

    Each replica holds `n / R` rows and what an optimizer remembers of them. Reading takes three
    steps, in all of which ids, rows and sums go from replica to replica once:

    - `input_dist` sends each id to the replica that holds its row;
    - `lookup`: each replica reads what it holds;
    - `output_dist` sends the results back.

    Weighted sums go one of two ways: `"rows"` sends the distinct rows, as for `lookup`; `"sums"`
    sends the weights along, and each shard adds up the rows that it holds and sends one vector a
    query. `exchange_bytes` tells how many bytes each takes. Gradients go back the same way, and
    reach a shard as `tf.IndexedSlices` that are summed over replicas already: a shard is trained
    where it is, by a `RowOptimizer` and no other.

    To all else it is one variable of `n` rows: `shape`, `numpy`, `assign`, saving and loading are
    those of the whole table, in the order of ids. Outside of `strategy.run` reads go to all shards.

    Args:
        shape: Tuple, `(n, d)`, or `(n,)` for what is remembered of rows.
        initializer: Keras initializer.
        strategy: `tf.distribute.MirroredStrategy`. Defaults to `None`: the one in scope.
        exchange: `"rows"`, `"sums"` or `"auto"`, which moves the fewest bytes. Defaults to
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
        self, shape, initializer, strategy=None, exchange="auto", trainable=True, name=None
    ):
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

    def lookup(self, ids):
        ids = tf.convert_to_tensor(ids)
        flat = tf.reshape(ids, [-1])
        if self._split is None:  # while Keras only asks for shapes
            rows = tf.zeros([tf.size(flat), *self.shape[1:]])
        else:
            rows = self._lookup_flat(flat)
        rows = tf.reshape(rows, tf.concat([tf.shape(ids), list(self.shape[1:])], axis=0))
        return tf.ensure_shape(rows, [*ids.shape, *self.shape[1:]])

    def weighted_sum(self, ids, weights):
        ids, weights = tf.convert_to_tensor(ids), tf.convert_to_tensor(weights)
        hits, width = tf.shape(ids)[-1], self.shape[-1]
        flat = tf.reshape(ids, [-1, hits])
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
        rows = tf.gather(self.value, _from_words(tf.concat(asked, axis=0)))
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
    def value(self):
        """The shard of the calling replica, a `tf.Variable`."""
        if self._split is None or not self._is_distributed():
            raise ValueError(
                f"the shards of `{self.path}` must be read by replicas, or as a whole by "
                "`numpy()`. Only row-wise optimizers (`row_wise_adagrad`, `row_wise_adam`, "
                "`sparse_adagrad`) can train it: others need its placement to be replicated"
            )
        return self._split.parts[replica_id()]

    @property
    def shards(self):
        """Tuple of the `tf.Variable` of each replica."""
        return self._split.parts

    def get_rows(self, start, stop):
        """Reads rows `start` to `stop` of the whole table as one numpy array."""
        return self._split.get_rows(start, stop)

    def set_rows(self, start, rows):
        """Writes rows of the whole table from `start` on."""
        self._split.set_rows(start, rows)

    def assign(self, value):
        """Writes the whole table from anything that can be sliced by rows."""
        if tuple(value.shape) != tuple(self.shape):
            raise ValueError(
                f"`value` must have the shape {tuple(self.shape)} of `{self.path}`. "
                f"Received: value.shape={tuple(value.shape)}"
            )
        copy_rows(value, self)
        return value

    def numpy(self):
        whole = np.empty(tuple(self.shape), "float32")
        for start, stop in row_chunks(whole.shape, whole.itemsize):
            whole[start:stop] = self.get_rows(start, stop)
        return whole

    def __array__(self, dtype=None, copy=None):
        del copy  # It is one.
        return self.numpy().astype(dtype or "float32", copy=False)

    def __tf_tensor__(self, dtype=None, name=None):
        # For callers that look at a table as a whole, such as histograms.
        whole = self._split.lookup(tf.range(self.shape[0]))
        return whole if dtype is None else tf.cast(whole, dtype)

    def __repr__(self):
        return f"<ShardedTable path={self.path}, shape={tuple(self.shape)}>"

    def companion(self, shape, value, name):
        """Makes a table whose rows lie where those of this one do, such as an optimizer's state.

        Args:
            shape: Tuple. As many rows as this one has, of any width.
            value: Float. What all elements start from.
            name: String.

        Returns:
            A `ShardedTable` that is not trainable.
        """
        initializer = keras.initializers.Constant(value)
        return ShardedTable(shape, initializer, self.strategy, trainable=False, name=name)


class _Sent:
    """Ids split by the shard that holds them.

    `ids` are words of 4 bytes, one tensor a shard; `order` is where each came from.
    """

    def __init__(self, ids, places, count):
        self._places, self._count = places, count
        self.ids = self.take(ids)
        self.order = self.take(tf.range(tf.size(places)))

    def take(self, tensor):
        """Splits another tensor in the same way."""
        return tf.dynamic_partition(tensor, self._places, self._count)


def input_dist(ids, shards):
    """Splits ids `(M,)` by the shard that holds their row, each as the row's number there."""
    # As 64-bit integers, for which GPUs have kernels; 4 bytes of them travel.
    ids = tf.cast(ids, tf.int64)
    return _Sent(_to_words(ids // shards), tf.cast(ids % shards, tf.int32), shards)


def output_dist_rows(rows, asked, sent):
    """Sends rows back to those that asked for them, in the order in which they hold their ids."""
    sizes = [tf.shape(part)[0] for part in asked]
    back = tf.concat(all_to_all(tf.split(rows, sizes, num=len(asked))), axis=0)
    return permuted(back, tf.concat(sent.order, axis=0))


def output_dist_sums(sums, sizes):
    """Sends a shard's sums back to those that hold the queries, who add up those of all shards."""
    return tf.add_n(all_to_all(tf.split(sums, sizes, num=len(sizes))))


def _counts_by_shard(ids, shards):
    """How many of each query's ids `(N, k)` each shard holds: a float32 tensor `(N,)` a shard."""
    places = tf.cast(tf.cast(ids, tf.int64) % shards, tf.int32)
    return [
        tf.reduce_sum(tf.cast(tf.equal(places, index), tf.float32), axis=1)
        for index in range(shards)
    ]


def _to_words(ids):
    # TensorFlow keeps 32-bit integers out of a GPU's memory; floats of the same bits stay there.
    return tf.bitcast(tf.cast(ids, tf.int32), tf.float32)


def _from_words(words):
    return tf.cast(tf.bitcast(words, tf.int32), tf.int64)


def outside_strategies(function):
    """Calls a function eagerly, whatever scope or graph the caller is in, and returns its result.

    Scopes and graphs belong to a thread: in another one, variables are plain ones.

    Args:
        function: Function without arguments.
    """
    results = []

    def call():
        try:
            results.append((function(), None))
        except BaseException as error:  # raised again by the thread that asked
            results.append((None, error))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    value, error = results[0]
    if error is not None:
        raise error
    return value
