"""How long training waits for its input."""

import time

import tensorflow as tf


class InputClock:
    """Measures the time between asking for a batch and getting it.

    `model.fit` pulls the batch inside the train function, where Python sees nothing. So the clock
    sits in the pipeline itself, behind every prefetch buffer: two stages, one before and one after
    the dataset is asked for an element, both in the thread that asked. Their difference is what
    prefetching could not hide, whatever made it slow: reading, decoding, shuffling or copying. On
    a GPU a step may be asked for before the one before it has ended, so the wait is then an upper
    bound. Under a strategy of several replicas other threads fetch ahead, and the wait reads as
    nearly nothing.

    Example:

    >>> clock = InputClock()
    >>> sum(1 for _ in clock.wrap(tf.data.Dataset.range(3))), bool(clock.waited < 1.0)
    (3, True)
    """

    def __init__(self):
        self.waited = 0.0

    def wrap(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Adds the clock's stages; the elements stay as they are.

        Args:
            dataset: The whole input pipeline, prefetching included.

        Returns:
            The same dataset with the clock around it.
        """

        def ask(_):
            return tf.numpy_function(time.perf_counter, [], tf.float64)

        def get(asked, element):
            with tf.control_dependencies([tf.numpy_function(self._note, [asked], [])]):
                return tf.nest.map_structure(tf.identity, element)

        # `zip` asks its parts one after the other, in this order.
        dataset = tf.data.Dataset.zip(tf.data.Dataset.counter().map(ask), dataset).map(get)
        options = tf.data.Options()
        # TensorFlow would put one more prefetch behind it, off the thread that waits.
        options.experimental_optimization.inject_prefetch = False
        return dataset.with_options(options)

    def take(self) -> float:
        """Gives the seconds waited since the last call."""
        waited, self.waited = self.waited, 0.0
        return waited

    def _note(self, asked) -> None:
        self.waited += time.perf_counter() - float(asked)
