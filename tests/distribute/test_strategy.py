import pytest
import tensorflow as tf

from lmn_tf.distribute.strategy import LocalDataset, distribute_shares, mirrored
from lmn_tf.specs.errors import UserError


def test_parts_of_the_cpu():
    assert mirrored().num_replicas_in_sync == 1
    strategy = mirrored(3)
    assert [device[-5:] for device in strategy.extended.worker_devices] == [
        "CPU:0",
        "CPU:1",
        "CPU:2",
    ]


def test_more_parts_than_tensorflow_started_with():
    tf.constant(0)
    with pytest.raises(UserError, match="`distribute.replicas` must be at most 4 once"):
        mirrored(5)


def test_more_gpus_than_there_are(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["one"])
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["one"])
    with pytest.raises(UserError, match="at most the number of GPUs, 1"):
        mirrored(2)


def test_a_dataset_stays_as_it_is():
    dataset = object()
    assert LocalDataset.experimental_distribute_dataset(dataset) is dataset


@pytest.mark.parametrize("is_tuple", [False, True])
def test_each_replica_gets_the_share_of_its_number(is_tuple):
    strategy = mirrored(3)
    dataset = tf.data.Dataset.range(2)
    if is_tuple:
        dataset = dataset.map(lambda batch: (batch, -batch))

    def share(batch, replica):
        assert isinstance(batch, tuple) == is_tuple
        return tf.nest.map_structure(lambda part: part * 10 + replica, batch)

    found = list(distribute_shares(strategy, dataset, share))
    parts = [[part.numpy() for part in batch.values] for batch in tf.nest.flatten(found)]
    if is_tuple:
        assert parts == [[0, 1, 2], [0, 1, 2], [10, 11, 12], [-10, -9, -8]]
    else:
        assert parts == [[0, 1, 2], [10, 11, 12]]
