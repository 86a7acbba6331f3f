import concurrent.futures
import json
import types

import pytest
import tensorflow as tf
from local_cluster import drive
from tiny_run import market

from lmn_tf.distribute.cluster.cluster import free_ports
from lmn_tf.models.fitting.multi_worker_driver import MultiWorkerDriver


@pytest.mark.slow
def test_two_processes_train_as_one():
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]

    def run(index):
        config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        environment = {"TF_CONFIG": json.dumps(config)}
        arguments = str(index), str(market())
        return drive("multi_worker_driver.py", *arguments, environment=environment)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        one, other = pool.map(run, range(2))
    batches = min(one.pop("batches"), other.pop("batches"))
    assert one["iterations"] == 3 * batches
    assert one.pop("predicted")[0] + other.pop("predicted")[0] == 300
    assert one.keys() == other.keys()
    for key, values in one.items():
        assert values == pytest.approx(other[key], rel=1e-6), key
    assert one["loss"][-1] < one["loss"][0]
    assert one["evaluate"][0] == pytest.approx(one["val_loss"][-1], rel=1e-5)


def driver(strategy):
    return MultiWorkerDriver(types.SimpleNamespace(_distribute_strategy=strategy))


def test_a_process_has_one_device():
    extended = types.SimpleNamespace(worker_devices=("GPU:0", "GPU:1"))
    with pytest.raises(ValueError, match="one process for each GPU. Received: 2 devices"):
        with driver(types.SimpleNamespace(extended=extended)).running():
            pass


def test_shares_are_cut_to_the_shortest():
    class Strategy:
        """Two processes, of which the other one has two batches."""

        def run(self, function):
            return function()

        def gather(self, length, axis):
            return tf.concat([length, [2]], axis)

    driver_ = driver(Strategy())
    kwargs = {"validation_data": tf.data.Dataset.range(1)}
    with driver_.fit_data(tf.data.Dataset.range(3), kwargs) as data:
        assert list(data.as_numpy_iterator()) == [0, 1]
    assert list(kwargs["validation_data"].as_numpy_iterator()) == [0]
    endless = tf.data.Dataset.range(3).repeat()
    assert driver_.evaluation_data(endless) is endless
    arrays = [1, 2, 3]
    assert driver_.evaluation_data(arrays) is arrays


def test_a_share_is_not_distributed_again():
    extended = types.SimpleNamespace(worker_devices=("CPU:0",))
    driver_ = driver(types.SimpleNamespace(extended=extended))
    with driver_.running():
        with driver_.running():
            assert driver_.reads_shares
        assert driver_.reads_shares
    assert not driver_.reads_shares
