"""The driver of a model's steps where Keras runs them itself."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.strategy import LocalDataset
from lmn_tf.models.fitting.distributed_windows import DistributedWindows
from lmn_tf.models.fitting.window_batches import WindowBatches


class FitDriver:
    """Runs the steps of a model as Keras does: on one device, or on the replicas of one process.

    `CTRModel` overrides each hook of `keras.Model` once and asks its driver what differs under the
    strategy that it was built in; subclasses answer for strategies that Keras has no `fit` for.

    Args:
        model: `CTRModel`.

    Attributes:
        runs_steps: Boolean. Whether the driver makes the train, test and predict functions.
        has_workers: Boolean. Whether steps run in other processes than this one.
        reads_shares: Boolean. Whether Keras must not distribute the data, because each process
            reads its own share or one process hands batches out; set while `running`.
        is_on_worker: Boolean. Whether a step is being traced for a worker, which has no metrics to
            update.

    Example:

    >>> lmn_tf.models.DNN(spec).fit_driver.runs_steps
    False
    """

    runs_steps = False
    has_workers = False
    reads_shares = False
    is_on_worker = False

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    @functools.cached_property
    def batches(self) -> WindowBatches:
        """The `WindowBatches` of the model's feature spec."""
        return WindowBatches.from_spec(self.model.spec)

    def keras_strategy(self, strategy: tf.distribute.Strategy) -> Any:
        """Returns what Keras distributes datasets with, and runs steps in.

        Args:
            strategy: The strategy that the model was built in, or the default one.
        """
        if self.reads_shares:
            return LocalDataset
        return strategy if self.runs_steps else DistributedWindows(strategy, self.model)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Context in which `fit`, `evaluate` or `predict` runs."""
        yield

    @contextlib.contextmanager
    def fit_data(self, x: Any, kwargs: dict[str, Any]) -> Iterator[Any]:
        """Context in which `fit` runs on its data.

        Args:
            x: The data given to `fit`.
            kwargs: Dictionary of the other arguments of `fit`, which may be changed.

        Yields:
            The data to fit on.
        """
        yield x

    def evaluation_data(self, x: Any) -> Any:
        """Returns the data to evaluate on, of the data given to `evaluate`."""
        return x

    def finish_steps(self) -> None:
        """Waits for all steps that have been handed out."""

    def figures(self) -> dict[str, float]:
        """Returns a dictionary of the logs that the driver adds to those of the metrics."""
        return {}

    def reset(self) -> None:
        """Forgets the figures of the steps so far."""
