"""Strategies for several devices of one machine, and datasets that are not distributed."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from lmn_tf.distribute.collectives import sum_in_order
from lmn_tf.specs.errors import UserError


class LocalDataset:
    """Stand-in for a strategy that leaves datasets undistributed.

    Example:

    >>> LocalDataset.experimental_distribute_dataset([1, 2])
    [1, 2]
    """

    @staticmethod
    def experimental_distribute_dataset(dataset: Any) -> Any:
        """Returns the dataset.

        Args:
            dataset: Anything.
        """
        return dataset


def distribute_shares(
    strategy: tf.distribute.Strategy,
    dataset: tf.data.Dataset,
    share: Callable[[Any, int], Any],
) -> tf.distribute.DistributedDataset:
    """Distributes a dataset whose batches cannot be cut along the first axis of each array.

    Args:
        strategy: `tf.distribute.MirroredStrategy`.
        dataset: `tf.data.Dataset` of batches.
        share: Function from a batch and the number of a replica to the part that it gets.

    Returns:
        Iterable of batches, each with a share for every replica.

    Example:

    >>> numbers = tf.data.Dataset.range(4).batch(4)
    >>> parts = distribute_shares(mirrored(1), numbers, lambda batch, replica: batch[1:])
    >>> [part.numpy().tolist() for part in parts]
    [[1, 2, 3]]
    """
    replicas = strategy.num_replicas_in_sync
    is_tuple = isinstance(dataset.element_spec, tuple)

    def shares(*parts):
        batch = parts if is_tuple else parts[0]
        return tuple(share(batch, replica) for replica in range(replicas))

    def one_by_one(*parts):
        each = [tf.data.Dataset.from_tensors(part) for part in parts]
        return functools.reduce(tf.data.Dataset.concatenate, each)

    # As TensorFlow does where it cuts batches itself: the shares of one batch lie ready.
    shared = dataset.map(shares).flat_map(one_by_one).prefetch(replicas)
    return strategy.distribute_datasets_from_function(lambda context: shared)


def mirrored(replicas: int | None = None) -> tf.distribute.MirroredStrategy:
    """Creates the strategy that trains on several devices of this machine.

    Args:
        replicas: Integer, or `None` for all GPUs (one CPU if there are none). Number of devices:
            GPUs if the machine has any, otherwise logical CPUs that share its cores, which are
            meant for tests and bring no speed. Defaults to `None`.

    Returns:
        `tf.distribute.MirroredStrategy`.

    Raises:
        UserError: If there are fewer GPUs, or TensorFlow has started with fewer logical CPUs.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        if replicas is not None and replicas > len(tf.config.list_logical_devices("GPU")):
            raise UserError(
                f"`distribute.replicas` must be at most the number of GPUs, {len(gpus)}. "
                f"Received: distribute.replicas={replicas}"
            )
        count = replicas or len(tf.config.list_logical_devices("GPU"))
        return tf.distribute.MirroredStrategy([f"GPU:{index}" for index in range(count)])
    count = replicas or 1
    _split_cpu(count)
    # Not by collectives: TensorFlow caches their shapes across the strategies of a process.
    return tf.distribute.MirroredStrategy(
        [f"CPU:{index}" for index in range(count)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(accumulation_fn=sum_in_order),
    )


def _split_cpu(count):
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = tf.config.get_logical_device_configuration(cpu) or [None]
    if len(parts) >= count:
        return
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        raise UserError(
            f"`distribute.replicas` must be at most {len(parts)} once TensorFlow has started. "
            f"Received: distribute.replicas={count}"
        ) from error
