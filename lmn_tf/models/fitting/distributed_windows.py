"""Distribution of datasets whose histories are windows."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.strategy import distribute_shares
from lmn_tf.models.fitting.window_batches import mapped


class DistributedWindows:
    """Proxy of a strategy that distributes batches of windows.

    TensorFlow would split the events of a batch like its rows. Here, each replica receives its rows
    and the events of their windows. If XLA compiles the steps, which needs static shapes, histories
    are padded first. Other datasets and all other calls are passed to the strategy.

    Args:
        strategy: `tf.distribute.Strategy` in which Keras runs steps.
        model: `CTRModel`.
    """

    def __init__(self, strategy: tf.distribute.Strategy, model: keras.Model) -> None:
        self._strategy = strategy
        self._model = model

    def experimental_distribute_dataset(self, dataset: tf.data.Dataset) -> Any:
        """Returns the dataset for the replicas of the strategy.

        Args:
            dataset: `tf.data.Dataset` of features, or of tuples that start with them.
        """
        batches, spec = self._model.fit_driver.batches, dataset.element_spec
        if not batches.found(spec[0] if isinstance(spec, tuple) else spec):
            return self._strategy.experimental_distribute_dataset(dataset)
        if self._model.jit_compile:
            padded = mapped(dataset, batches.padded)
            return self._strategy.experimental_distribute_dataset(padded)
        replicas = self._strategy.num_replicas_in_sync
        if replicas == 1:
            return self._strategy.experimental_distribute_dataset(dataset)
        return distribute_shares(
            self._strategy, dataset, lambda batch, replica: batches.share(batch, replica, replicas)
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strategy, name)
