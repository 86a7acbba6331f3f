"""Driver of the steps of a model that are run by Keras."""

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
    """Driver of steps on one device or on the replicas of one process, run by Keras.

    `CTRModel` overrides each hook of `keras.Model` once and delegates to the driver what depends on
    the strategy in which it was built. Subclasses support strategies that Keras cannot `fit` with.

    Args:
        model: `CTRModel`.

    Attributes:
        runs_steps: Boolean. Whether the driver creates the train, test and predict functions.
        has_workers: Boolean. Whether steps run in other processes.
        reads_shares: Boolean. Whether Keras must not distribute the data, since each process
            reads a shard or one process distributes batches; set while `running`.
        is_on_worker: Boolean. Whether a step is being traced for a worker, which updates no
            metrics.

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
        """Returns the object with which Keras distributes datasets and runs steps.

        Args:
            strategy: Strategy in which the model was built, or the default one.
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
            x: Data passed to `fit`.
            kwargs: Dictionary of the other arguments of `fit`, which may be modified.

        Yields:
            The data to train on.
        """
        yield x

    def evaluation_data(self, x: Any) -> Any:
        """Returns the data to evaluate on, from those passed to `evaluate`."""
        return x

    def finish_steps(self) -> None:
        """Waits for all scheduled steps."""

    def figures(self) -> dict[str, float]:
        """Returns additional logs of the driver, as a dictionary."""
        return {}

    def reset(self) -> None:
        """Resets the statistics of steps."""
