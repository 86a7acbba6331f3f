"""Measurement of the time that training waits for its input."""

import time

import tensorflow as tf


class InputClock:
    """Measures how long after a batch was asked for it was ready.

    `model.fit` pulls the batch inside the train function, where Python sees nothing. So the clock
    sits in the pipeline itself. One stage notes when a batch is ready, behind all that makes it;
    then comes a buffer of one batch; then a stage notes when the batch is asked for, in the thread
    that asks. What was ready before it was asked for counts nothing: the rest is what prefetching
    could not hide, whatever made it slow: reading, decoding, shuffling or copying. That thread
    calls Python once a batch, or it would wait for Python's lock while the reader works on the
    next batch. On a GPU a step may be asked for before the one before it has ended, so the wait is
    then an upper bound. Under a strategy of several replicas other threads fetch ahead, and the
    wait reads as nearly nothing.

    Example:

    >>> clock = InputClock()
    >>> sum(1 for _ in clock.wrap(tf.data.Dataset.range(3))), bool(clock.waited < 1.0)
    (3, True)
    """

    def __init__(self) -> None:
        self.waited = 0.0

    def wrap(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Adds the clock's stages; the elements stay as they are.

        Args:
            dataset: The whole input pipeline, prefetching included.

        Returns:
            The same dataset with the clock around it.
        """

        def add(asked, batch):
            ready, element = batch
            wait = ready - asked
            return tf.cond(wait > 0, lambda: _call(self._add, wait), lambda: wait), element

        # `zip` asks its parts one after the other, in this order.
        ready = tf.data.Dataset.zip(dataset, _moments()).map(lambda element, at: (at, element))
        dataset = tf.data.Dataset.zip(_moments(), ready.prefetch(1)).map(add)
        # Were the wait dropped in the same function, TensorFlow would leave out the call.
        dataset = dataset.map(lambda wait, element: element)
        options = tf.data.Options()
        # TensorFlow would put one more prefetch behind it, off the thread that waits, and would
        # read the clock in several threads at once, or not at all in stages that it makes one.
        options.experimental_optimization.inject_prefetch = False
        options.experimental_optimization.map_parallelization = False
        options.experimental_optimization.map_fusion = False
        return dataset.with_options(options)

    def take(self) -> float:
        """Returns the seconds waited since the last call."""
        waited, self.waited = self.waited, 0.0
        return waited

    def _add(self, wait):
        self.waited += float(wait)
        return wait


def _moments() -> tf.data.Dataset:
    """Returns the moments at which its elements are asked for, without end."""
    return tf.data.Dataset.counter().map(
        lambda number: _call(lambda _: time.perf_counter(), number)
    )


def _call(function, value):
    # As in `reader_dataset`: a stateful call would cost the pipeline its prefetching. Nor may it be
    # `tf.timestamp`, which TensorFlow refuses where ops must be deterministic.
    result = tf.numpy_function(function, [value], tf.float64, stateful=False)
    return tf.ensure_shape(result, ())
