"""Distribution of training over devices or a cluster."""

import contextlib
from collections.abc import Callable, Iterator, Mapping

import keras
import tensorflow as tf

from lmn_tf.distribute.cluster import cluster as clusters
from lmn_tf.distribute.cluster.cluster import cluster_errors
from lmn_tf.distribute.strategy import mirrored
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import Distribute


class Distribution:
    """Connects a run to the devices or the cluster of its pipeline's `distribute` section.

    Args:
        distribute: The `Distribute` section of a pipeline.
        environment: Mapping with `TF_CONFIG`. Defaults to `None`: `os.environ`.

    Raises:
        UserError: If the strategy is not available on this machine.

    Example:

    >>> from lmn_tf.specs.pipeline_spec import Distribute
    >>> distribution = Distribution(Distribute())
    >>> with distribution.connected(print), distribution.scope():
    ...     print(distribution.is_asynchronous)
    False
    """

    def __init__(
        self, distribute: Distribute, environment: Mapping[str, str] | None = None
    ) -> None:
        self.distribute = distribute
        self.cluster = self.strategy = None
        name = distribute.strategy
        if name == "mirrored":  # At once: a CPU can only be split before TensorFlow starts.
            self.strategy = mirrored(distribute.replicas)
        if name == "parameter_server":
            self.cluster = clusters.Cluster.from_environment(environment)
            if self.cluster is None:
                raise UserError(
                    "`TF_CONFIG` must have the addresses of the cluster for "
                    "`distribute.strategy=parameter_server`. Received: no TF_CONFIG. "
                    "`lmn-tf launch` starts a cluster on this machine."
                )
            if self.cluster.role != "chief":
                raise UserError(
                    "The task of `TF_CONFIG` must be chief for the process that trains. "
                    f"Received: type={self.cluster.role}"
                )

    @property
    def is_asynchronous(self) -> bool:
        """Whether steps of workers run concurrently, so that runs are not reproducible."""
        return self.cluster is not None

    @contextlib.contextmanager
    def connected(self, say: Callable[[str], None]) -> Iterator[None]:
        """Connects to the cluster, and reports servers that are lost while the block runs.

        Args:
            say: Function called with a line of the log while waiting.

        Raises:
            ClusterError: If a worker or server does not answer in time, or a server is lost.
        """
        if self.cluster is None:
            yield
            return
        self.strategy = clusters.connect(self.cluster, say=say)
        with cluster_errors(self.cluster.servers):
            yield

    def scope(self) -> contextlib.AbstractContextManager:
        """Returns the context in which the model is built."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def set_up(self, model: keras.Model) -> None:
        """Sets the options of a model's steps."""
        if isinstance(self.strategy, tf.distribute.ParameterServerStrategy):
            model.steps_in_flight = self.distribute.steps_in_flight
            model.hang_seconds = self.distribute.hang_seconds
