"""Measurement of the time that training waits for input."""

import time

import tensorflow as tf


class InputClock:
    """Measures how long training waits for each batch after requesting it.

    `model.fit` requests batches inside the train function, where Python cannot measure. So the
    clock is part of the input pipeline. One stage, after all others, records when a batch is ready.
    A buffer of one batch follows, and then a stage that records when the batch is requested, in the
    requesting thread. A batch that is ready before its request counts as no wait. The rest is the
    time that prefetching could not hide, whether of reading, decoding, shuffling or copying. The
    requesting thread calls Python only once per batch, so that it rarely waits for the interpreter
    lock while the reader prepares the next batch. On a GPU a batch may be requested before the
    previous step has ended, so the wait is an upper bound. Under a strategy with several replicas,
    other threads prefetch, and the wait is almost zero.

    Example:

    >>> clock = InputClock()
    >>> sum(1 for _ in clock.wrap(tf.data.Dataset.range(3))), bool(clock.waited < 1.0)
    (3, True)
    """

    def __init__(self) -> None:
        self.waited = 0.0

    def wrap(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Adds the stages of the clock; elements do not change.

        Args:
            dataset: The whole input pipeline, including prefetching.

        Returns:
            The dataset with the clock.
        """

        def add(requested, batch):
            ready, element = batch
            wait = ready - requested
            return tf.cond(wait > 0, lambda: _call(self._add, wait), lambda: wait), element

        # `zip` requests its parts one after another, in this order.
        ready = tf.data.Dataset.zip(dataset, _moments()).map(lambda element, at: (at, element))
        dataset = tf.data.Dataset.zip(_moments(), ready.prefetch(1)).map(add)
        # If the wait were dropped in the same function, TensorFlow would prune the call.
        dataset = dataset.map(lambda wait, element: element)
        options = tf.data.Options()
        # TensorFlow would add a prefetch after the clock, in another thread than the waiting one,
        # would read the clock in several threads at once, and would fuse stages without reading it.
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
    """Returns an endless dataset of the times at which its elements are requested."""
    return tf.data.Dataset.counter().map(
        lambda number: _call(lambda _: time.perf_counter(), number)
    )


def _call(function, value):
    # Not stateful, as in `reader_dataset`: a stateful call would prevent prefetching. Not
    # `tf.timestamp`, which TensorFlow refuses if ops must be deterministic.
    result = tf.numpy_function(function, [value], tf.float64, stateful=False)
    return tf.ensure_shape(result, ())
