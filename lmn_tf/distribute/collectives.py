"""All that replicas of one run say to each other.

Measured on one CPU cut into 4 (2) logical devices, milliseconds for 4 x 4 (2 x 2) parts of 20,000
rows of 32 floats: `"copies"` 17 (3), `"gather"` 187 (26), `"collective"` 62 (50); for parts of 10
floats 4 (1), 10 (2), 8 (2). TensorFlow's reduce-scatter has no kernel for CPUs: here it is an
all-to-all and a sum, which moves as many bytes.
"""

import contextlib
import threading

import tensorflow as tf

_counters = []
_communicators = {}
_FIRST_GROUP_KEY = 7_000_000  # far from those that strategies count up from


def replica_count():
    """Returns on how many replicas the calling code runs: 1 outside of `strategy.run`."""
    if tf.distribute.in_cross_replica_context():
        return 1
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica_id():
    """Returns the number of the calling replica, an integer."""
    context = tf.distribute.get_replica_context()
    return int(tf.get_static_value(context.replica_id_in_sync_group))


def all_to_all(parts, method="copies"):
    """Sends one tensor to each replica and receives one from each.

    All replicas have to call it, outside of nested functions and control flow. Parts may have any
    number of rows, none included. The gradient goes the same way back.

    Args:
        parts: List of tensors of shapes `(rows, ...)`, alike but for the rows; the one at `r` is
            for replica `r`.
        method: `"copies"`: one copy from device to device for each part, which moves what it must
            and no more; for replicas of one process. `"gather"`: all parts to all replicas by the
            public `all_gather`, for replicas anywhere. `"collective"`: the kernel of NCCL, which
            knows parts of one size only, so they are filled up to the largest; within
            `tf.function` only. Defaults to `"copies"`.

    Returns:
        List of tensors; the one at `r` is from replica `r`.
    """
    parts = [tf.convert_to_tensor(part) for part in parts]
    exchange = _METHODS[method]
    if not parts[0].dtype.is_floating:
        return exchange(parts)

    @tf.custom_gradient
    def exchanged(*parts):
        return exchange(parts), lambda *upstream: exchange(upstream)

    return list(exchanged(*parts))


def _copies(parts):
    def swap(strategy, *parts):
        return [list(strategy.experimental_local_results(part)) for part in parts]

    for_all = tf.distribute.get_replica_context().merge_call(swap, args=tuple(parts))
    own = replica_id()
    _count(part for target, part in enumerate(parts) if target != own)
    # Each replica runs with its own device in scope: that is where the copy ends.
    received = [tf.identity(part) for part in for_all[own]]
    return [
        tf.ensure_shape(part, [None, *like.shape[1:]])
        for part, like in zip(received, parts, strict=True)
    ]


def _gather(parts):
    context = tf.distribute.get_replica_context()
    count = len(parts)
    sizes = context.all_gather(_sizes(parts), axis=0)
    everything = tf.concat(parts, axis=0)
    _count([everything] * (count - 1))
    pieces = tf.split(context.all_gather(everything, axis=0), sizes, num=count**2)
    return pieces[replica_id() :: count]


def _collective(parts):
    own, count = replica_id(), len(parts)
    sizes = tf.distribute.get_replica_context().all_gather(_sizes(parts), axis=0)
    largest = tf.reduce_max(sizes)
    tails = [[0, 0]] * (parts[0].shape.rank - 1)
    filled = [tf.pad(part, [[0, largest - tf.shape(part)[0]], *tails]) for part in parts]
    _count(filled[1:])
    received = tf.raw_ops.CollectiveAllToAllV3(
        input=tf.stack(filled),
        communicator=_communicator(own),
        group_assignment=tf.zeros([0, 0], tf.int32),  # a filled one is "not supported yet"
        timeout_seconds=60,
    )
    own_sizes = sizes[own::count]
    return [received[source, : own_sizes[source]] for source in range(count)]


_METHODS = {"copies": _copies, "gather": _gather, "collective": _collective}


def _sizes(parts):
    return tf.stack([tf.shape(part)[0] for part in parts])


def _communicator(index):
    """The handle of one replica for `_collective`, made for all replicas of a strategy at once.

    A second one of the same group is refused by TensorFlow.
    """
    devices = tf.distribute.get_strategy().extended.worker_devices
    if devices not in _communicators:
        handles = [None] * len(devices)
        key = _FIRST_GROUP_KEY + len(_communicators)

        def make(rank):
            with tf.device(devices[rank]):
                handles[rank] = tf.raw_ops.CollectiveInitializeCommunicator(
                    group_key=key,
                    rank=rank,
                    group_size=len(devices),
                    communication_hint="auto",
                    timeout_seconds=60,
                )

        # Each waits for all others; new threads run eagerly whatever is being traced here.
        threads = [threading.Thread(target=make, args=(rank,)) for rank in range(len(devices))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        _communicators[devices] = handles
    return _communicators[devices][index]


def sum_over_replicas(tensor):
    """Adds up a tensor over replicas; the gradient is that of a sum that all replicas read.

    Args:
        tensor: Tensor, of the same shape on each replica.

    Returns:
        Tensor of that shape; `tensor` itself where there is one replica.
    """
    if replica_count() == 1:
        return tensor
    tensor = tf.convert_to_tensor(tensor)
    _count([tensor] * 2)
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensor)


def share_of_replicas(count):
    """Returns what turns a replica's mean into its part of the mean over all replicas.

    Keras divides losses by the number of replicas and adds gradients up, which is right where
    all replicas average over equally many. Where they do not, each mean counts `replicas * count /
    sum(count)` times.

    Args:
        count: Integer scalar tensor. What the replica's mean is taken over.

    Returns:
        Float32 scalar tensor; 1.0 where there is one replica.
    """
    replicas = replica_count()
    if replicas == 1:
        return tf.constant(1.0)
    count = tf.cast(count, tf.float32)
    return tf.math.divide_no_nan(replicas * count, sum_over_replicas(count))


def mean_over_replicas(count, mean):
    """Turns the means of each replica's batch into that of the whole batch.

    Args:
        count: Integer scalar tensor. What the mean is taken over.
        mean: Float32 tensor of any shape.

    Returns:
        Tensor like `mean`: the same on all replicas; what was given where there is one.
    """
    if replica_count() == 1:
        return mean
    count = tf.cast(count, tf.float32)
    return tf.math.divide_no_nan(sum_over_replicas(count * mean), sum_over_replicas(count))


def moments_over_replicas(count, mean, variance):
    """Turns the moments of each replica's batch into those of the whole batch.

    Args:
        count: Float32 scalar tensor. What the moments are taken over.
        mean: Float32 tensor of shape `(d,)`.
        variance: Float32 tensor of shape `(d,)`.

    Returns:
        Tuple of the same three over all replicas; what was given where there is one.
    """
    if replica_count() == 1:
        return count, mean, variance
    sums = sum_over_replicas(tf.concat([[count], count * mean], axis=0))
    divisor = tf.maximum(sums[0], 1.0)
    whole_mean = sums[1:] / divisor
    spread = count * (variance + tf.square(mean - whole_mean))
    return sums[0], whole_mean, sum_over_replicas(spread) / divisor


def run_where(condition, function, values):
    """Calls a function on each replica where a condition holds, which may update variables.

    A conditional of each replica's own could not hold what replicas do together.

    Args:
        condition: Boolean scalar tensor, the same on each replica.
        function: Function of one argument; what it returns is dropped.
        values: Its argument: nested tensors of the calling replica.
    """
    if replica_count() == 1 or tf.__internal__.distribute.strategy_supports_no_merge_call():
        _call_where(condition, lambda: function(values))
        return

    def on_all(strategy, conditions, values):
        condition = strategy.experimental_local_results(conditions)[0]
        run = strategy.extended.call_for_each_replica
        _call_where(condition, lambda: run(function, args=(values,)))

    tf.distribute.get_replica_context().merge_call(on_all, args=(condition, values))


def _call_where(condition, function):
    def call():
        function()
        return tf.constant(True)

    tf.cond(condition, call, lambda: tf.constant(False))


@contextlib.contextmanager
def counted_bytes():
    """Counts the bytes that eager code sends between replicas while a block runs.

    Yields:
        List that holds one number for each tensor sent.
    """
    sent = []
    _counters.append(sent)
    try:
        yield sent
    finally:
        _counters.remove(sent)


def _count(tensors):
    if _counters and tf.executing_eagerly():
        sizes = [int(tf.size(tensor)) * tensor.dtype.size for tensor in tensors]
        for sent in _counters:
            sent += sizes
