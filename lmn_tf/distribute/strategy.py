"""A dataset that is to stay as it is."""

import tensorflow as tf

from lmn_tf.specs.errors import UserError


class Undistributed:
    """Stands for a strategy where Keras would distribute a dataset.

    Example:

    >>> Undistributed.experimental_distribute_dataset([1, 2])
    [1, 2]
    """

    @staticmethod
    def experimental_distribute_dataset(dataset):
        """Returns the dataset.

        Args:
            dataset: Anything.
        """
        return dataset


def mirrored(replicas=None):
    """Makes the strategy that trains on several devices of this machine.

    Args:
        replicas: Integer, or `None` for all GPUs (without any, one CPU). How many devices: GPUs
            where the machine has any, else parts of the CPU, which share its cores: good for
            trying things out, and not for speed. Defaults to `None`.

    Returns:
        `tf.distribute.MirroredStrategy`.

    Raises:
        UserError: If there are not so many GPUs, or TensorFlow has started with fewer parts of
            the CPU.
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
    # Without collectives, whose shapes TensorFlow keeps from one strategy of a process to the next.
    return tf.distribute.MirroredStrategy(
        [f"CPU:{index}" for index in range(count)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
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
