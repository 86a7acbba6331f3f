import pytest
import tensorflow as tf

from lmn_tf.distribute.cluster_error import ClusterError, cluster_errors

LOST = "Additional GRPC error information from remote target /job:ps/replica:0/task:1 : closed"


def test_a_lost_server_is_named():
    with pytest.raises(ClusterError, match="Parameter server 1 at b:2 .* with --resume"):
        with cluster_errors(["a:1", "b:2"]):
            raise tf.errors.UnavailableError(None, None, LOST)


def test_a_server_that_came_back_empty_counts_as_lost():
    with pytest.raises(ClusterError, match="Parameter server 0 no longer answers"):
        with cluster_errors():
            raise tf.errors.NotFoundError(None, None, "Resource x does not exist on /job:ps/task:0")


def test_other_errors_pass():
    with pytest.raises(tf.errors.InvalidArgumentError, match="shape"):
        with cluster_errors():
            raise tf.errors.InvalidArgumentError(None, None, "wrong shape on /job:ps/task:0")
    with pytest.raises(tf.errors.UnavailableError, match="worker"):
        with cluster_errors():
            raise tf.errors.UnavailableError(None, None, "/job:worker/task:0 is gone")
