import gc
import types

import pytest
import tensorflow as tf

from lmn_tf.distribute import coordinator as coordinators
from lmn_tf.distribute.cluster_error import ClusterError
from lmn_tf.distribute.coordinator import StepQueue


class Remote:
    def __init__(self, function, args):
        self._call = lambda: function(*args)

    def fetch(self):
        return self._call()


class Scheduler:
    """Runs what it is given when the result is looked at."""

    def __init__(self, strategy):
        self.scheduled = 0
        self.joined = 0

    def schedule(self, function, args):
        self.scheduled += 1
        return Remote(function, args)

    def join(self):
        self.joined += 1
        raise ValueError("told before")


@pytest.fixture
def strategy(monkeypatch):
    monkeypatch.setattr(coordinators.tf.distribute.coordinator, "ClusterCoordinator", Scheduler)
    addresses = {"worker": ["a:1", "b:1"], "ps": ["c:1", "d:1"]}
    resolver = types.SimpleNamespace(cluster_spec=lambda: tf.train.ClusterSpec(addresses))
    return types.SimpleNamespace(num_replicas_in_sync=1, _cluster_resolver=resolver)


def test_results_come_in_order_with_a_bounded_number_in_flight(strategy):
    queue = StepQueue(strategy, max_in_flight=3)
    taken, most = [], 0
    for step in range(7):
        queue.put(lambda value: value * 10, (step,), taken.append)
        most = max(most, len(queue))
    assert most == 3 and taken == [0, 10, 20, 30]
    queue.drain()
    assert taken == [10 * step for step in range(7)] and len(queue) == 0


def test_twice_the_workers_by_default(strategy):
    assert StepQueue(strategy).max_in_flight == 4


def test_its_watchdog_ends_with_it(strategy):
    queue = StepQueue(strategy)
    queue.put(lambda: 1, (), [].append)
    thread = queue.watchdog._thread
    assert thread.is_alive()
    queue.drain()
    del queue
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_a_lost_server_is_told_and_not_waited_for(strategy):
    queue = StepQueue(strategy)

    def fail():
        raise tf.errors.UnavailableError(None, None, "from remote target /job:ps/replica:0/task:1")

    queue.put(fail, (), print)
    with pytest.raises(ClusterError, match="Parameter server 1 at d:1 no longer answers"):
        queue.drain()
    queue.abandon()
    assert len(queue) == 0 and queue.coordinator.joined == 0


def test_what_is_abandoned_is_waited_for_and_forgotten(strategy):
    queue = StepQueue(strategy)
    queue.put(lambda: 1, (), print)
    queue.abandon()
    assert len(queue) == 0 and queue.coordinator.joined == 1


def test_refuses_what_it_cannot_do(strategy):
    with pytest.raises(ValueError, match="`max_in_flight` must be at least 1"):
        StepQueue(strategy, max_in_flight=0)
    strategy.num_replicas_in_sync = 2
    with pytest.raises(ValueError, match="at most one GPU"):
        StepQueue(strategy)
