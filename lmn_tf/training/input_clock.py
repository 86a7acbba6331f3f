"""How long training waits for its input."""

import time

import tensorflow as tf


class InputClock:
    """Measures the time between the start of a step and the arrival of its batch.

    `model.fit` pulls the batch inside the train function, where Python sees nothing. So the
    dataset gets one last stage, after every prefetch buffer, that notes the time at which each
    batch leaves the pipeline; that stage runs in the thread that asked for the batch. The step
    started when `start_step()` was called, and the difference is the wait: what prefetching could
    not hide, whatever made it slow (reading, decoding, shuffling or copying). On a GPU a step may
    be asked for before the one before it has ended, so the wait is then an upper bound. Under a
    strategy of several replicas the batches are fetched ahead by other threads, and the share
    reads as nearly zero.

    Example:

    >>> clock = InputClock()
    >>> for _ in clock.wrap(tf.data.Dataset.range(3)):
    ...     clock.start_step()
    >>> clock.waited < 1.0
    True
    """

    def __init__(self):
        self.waited = 0.0
        self._started: float | None = None

    def wrap(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Adds the stage that notes arrivals; the elements stay as they are.

        Args:
            dataset: The whole input pipeline, prefetching included.

        Returns:
            The same dataset with the stage at its end.
        """

        def note(*element):
            with tf.control_dependencies([tf.numpy_function(self._arrived, [], [])]):
                element = tf.nest.map_structure(tf.identity, element)
            return element[0] if len(element) == 1 else element

        options = tf.data.Options()
        # TensorFlow would put one more prefetch after the stage, which would move it off the
        # thread that waits.
        options.experimental_optimization.inject_prefetch = False
        return dataset.map(note).with_options(options)

    def start_step(self) -> None:
        """Says that a step starts and asks for its batch now."""
        self._started = time.perf_counter()

    def _arrived(self) -> None:
        if self._started is not None:
            self.waited += time.perf_counter() - self._started
            self._started = None
