"""Several replicas on one machine."""

import tensorflow as tf

from lmn_tf.distribute.collectives import sum_in_order


def replicas(count):
    """A strategy of `count` logical CPUs.

    Without collectives: TensorFlow keeps the shapes of one strategy's collectives and trips over
    them in the next strategy of the process.
    """
    return tf.distribute.MirroredStrategy(
        [f"CPU:{index}" for index in range(count)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(accumulation_fn=sum_in_order),
    )
