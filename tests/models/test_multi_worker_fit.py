import concurrent.futures
import json
import types

import pytest
import tensorflow as tf
from local_cluster import drive
from tiny_run import market

from lmn_tf.distribute.cluster.cluster import free_ports
from lmn_tf.models.multi_worker_fit import MultiWorkerFit


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


def test_a_process_has_one_device():
    class Model(MultiWorkerFit):
        is_multi_worker = True
        _distribute_strategy = types.SimpleNamespace(
            extended=types.SimpleNamespace(worker_devices=("GPU:0", "GPU:1"))
        )

    with pytest.raises(ValueError, match="one process for each GPU. Received: 2 devices"):
        Model().fit(None)


def test_other_strategies_are_left_to_keras():
    class Model(MultiWorkerFit):
        _distribute_strategy = tf.distribute.get_strategy()

    model = Model()
    dataset = tf.data.Dataset.range(3)
    assert not model.is_multi_worker and model._as_many(dataset) is dataset
