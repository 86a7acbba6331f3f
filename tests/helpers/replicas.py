"""Several replicas on one machine."""

import numpy as np
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


def assert_two_replicas_take_the_step_of_one(make, data, epochs):
    """Fits the models that `make` creates on one and on two replicas: losses and weights agree."""
    results = []
    for strategy in (tf.distribute.get_strategy(), replicas(2)):
        with strategy.scope():
            model = make()
        losses = model.fit(data, epochs=epochs, verbose=0).history["loss"]
        results.append(({w.path.split("/", 1)[1]: w.numpy() for w in model.weights}, losses))
    (one, losses), (two, others) = results
    np.testing.assert_allclose(others, losses, rtol=1e-4)
    for path, weight in one.items():
        np.testing.assert_allclose(two[path], weight, rtol=1e-4, atol=1e-5, err_msg=path)
