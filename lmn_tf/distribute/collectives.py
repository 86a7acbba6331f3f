"""Collective communication between replicas.

Measured on one CPU cut into 4 (2) logical devices, milliseconds for 4 x 4 (2 x 2) parts of 20,000
rows of 32 floats: copies from device to device 17 (3), `all_gather` 187 (26), TensorFlow's kernel
for equal parts, filled up to the largest, 62 (50); for parts of 10 floats 4 (1), 10 (2), 8 (2).
TensorFlow's reduce-scatter has no kernel for CPUs: here it is an all-to-all and a sum, which moves
as many bytes.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from lmn_tf.keras_internals import needs_merge_call

_counters = []


def replica_count() -> int:
    """Returns the number of replicas in sync: 1 outside of `strategy.run`."""
    if tf.distribute.in_cross_replica_context():
        return 1
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica_id() -> int:
    """Returns the number of the calling replica, an integer."""
    context = tf.distribute.get_replica_context()
    return int(tf.get_static_value(context.replica_id_in_sync_group))


def all_to_all(parts: list[tf.Tensor]) -> list[tf.Tensor]:
    """Sends one tensor to each replica and receives one from each.

    All replicas must call it, outside of nested functions and control flow. Parts may have any
    number of rows, including none. The gradient is the reverse exchange.

    Args:
        parts: List of tensors of shapes `(rows, ...)` that differ in `rows` only; the one at `r`
            is for replica `r`.

    Returns:
        List of tensors; the one at `r` is from replica `r`.
    """
    parts = [tf.convert_to_tensor(part) for part in parts]
    if not parts[0].dtype.is_floating:
        return _exchange(parts)

    @tf.custom_gradient
    def exchanged(*parts):
        return _exchange(parts), lambda *upstream: _exchange(upstream)

    return list(exchanged(*parts))


def _exchange(parts):
    """Copies each part from device to device, the least that has to be moved."""
    strategy = tf.distribute.get_strategy()
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        raise ValueError(
            "replicas must be in one process to exchange rows, as a softmax over the candidates "
            "of all replicas (`softmax_weight`, two towers) does: use `MirroredStrategy`, or "
            f"parameter servers. Received: {type(strategy).__name__}"
        )

    def swap(strategy, *parts):
        return [list(strategy.experimental_local_results(part)) for part in parts]

    for_all = tf.distribute.get_replica_context().merge_call(swap, args=tuple(parts))
    replica = replica_id()
    _count(part for target, part in enumerate(parts) if target != replica)
    # Each replica runs in the scope of its device, which receives the copy.
    received = [tf.identity(part) for part in for_all[replica]]
    return [
        tf.ensure_shape(part, [None, *like.shape[1:]])
        for part, like in zip(received, parts, strict=True)
    ]


def gather_over_replicas(tensor: tf.Tensor) -> tuple[tf.Tensor, int | tf.Tensor]:
    """Concatenates the rows of all replicas, in the order of the replicas.

    All replicas must call it, as `all_to_all`. A replica's gradient is the sum of what all replicas
    send back for its rows.

    Args:
        tensor: Tensor of shape `(rows, ...)`; replicas may have different numbers of rows.

    Returns:
        Pair of the rows of all replicas, and the place of the first row of this one; `tensor`
        itself and 0 with one replica.
    """
    replicas = replica_count()
    if replicas == 1:
        return tensor, 0
    parts = all_to_all([tensor] * replicas)
    before = [tf.shape(part)[0] for part in parts[: replica_id()]]
    return tf.concat(parts, axis=0), tf.add_n([tf.constant(0), *before])


def sum_over_replicas(tensor: tf.Tensor) -> tf.Tensor:
    """Sums a tensor over replicas; the gradient is summed over replicas, too.

    Args:
        tensor: Tensor, of the same shape on each replica.

    Returns:
        Tensor of that shape; `tensor` itself with one replica.
    """
    if replica_count() == 1:
        return tensor
    tensor = tf.convert_to_tensor(tensor)
    _count([tensor] * 2)
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensor)


def sum_in_order(parts: list[tf.Tensor]) -> tf.Tensor:
    """Sums tensors in a fixed order.

    `tf.add_n` starts with an input that it may overwrite. With three or more inputs, some of which
    have other consumers or come from another device, that is the first one that happens to be free,
    so the last bits of the sum depend on how busy the machine is.

    Args:
        parts: List of tensors of one shape.

    Returns:
        Tensor of that shape.

    Example:

    >>> float(sum_in_order([1.0, 2.0, 3.0]))
    6.0
    """
    if len(parts) < 3:  # Two have the same sum in either order.
        return tf.add_n(parts)
    return tf.reduce_sum(tf.stack(parts), axis=0)


def share_of_replicas(count: tf.Tensor) -> tf.Tensor:
    """Returns the factor by which a replica's mean enters the mean over all replicas.

    Keras divides losses by the number of replicas and sums gradients, which is correct if all
    replicas average over the same number of elements. Otherwise each mean must be weighted by
    `replicas * count / sum(count)`.

    Args:
        count: Integer scalar tensor. Number of elements of the replica's mean.

    Returns:
        Float32 scalar tensor; 1.0 with one replica.
    """
    replicas = replica_count()
    if replicas == 1:
        return tf.constant(1.0)
    count = tf.cast(count, tf.float32)
    return tf.math.divide_no_nan(replicas * count, sum_over_replicas(count))


def mean_over_replicas(count: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
    """Computes the mean of the whole batch from the means of each replica's batch.

    Args:
        count: Integer scalar tensor. Number of elements of the replica's mean.
        mean: Float32 tensor of any shape.

    Returns:
        Tensor like `mean`, the same on all replicas; `mean` itself with one replica.
    """
    if replica_count() == 1:
        return mean
    count = tf.cast(count, tf.float32)
    return tf.math.divide_no_nan(sum_over_replicas(count * mean), sum_over_replicas(count))


def moments_over_replicas(
    count: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Computes the moments of the whole batch from those of each replica's batch.

    Args:
        count: Float32 scalar tensor. Number of elements of the replica's moments.
        mean: Float32 tensor of shape `(d,)`.
        variance: Float32 tensor of shape `(d,)`.

    Returns:
        Tuple of the same three over all replicas; the arguments themselves with one replica.
    """
    if replica_count() == 1:
        return count, mean, variance
    sums = sum_over_replicas(tf.concat([[count], count * mean], axis=0))
    divisor = tf.maximum(sums[0], 1.0)
    whole_mean = sums[1:] / divisor
    spread = count * (variance + tf.square(mean - whole_mean))
    return sums[0], whole_mean, sum_over_replicas(spread) / divisor


def run_where(condition: tf.Tensor, function: Callable, values: Any) -> None:
    """Calls a function on each replica if a condition holds; it may update variables.

    A `tf.cond` within each replica cannot contain communication between replicas.

    Args:
        condition: Boolean scalar tensor, the same on each replica.
        function: Function of one argument; its result is ignored.
        values: Its argument: nested tensors of the calling replica.
    """
    if replica_count() == 1 or not needs_merge_call():
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
def counted_bytes() -> Iterator[list[int]]:
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
