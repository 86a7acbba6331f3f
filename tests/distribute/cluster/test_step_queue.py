import contextlib
import gc
import socket
import threading
import types

import pytest
import tensorflow as tf
from awaited_count import AwaitedCount

from lmn_tf.distribute.cluster import step_queue
from lmn_tf.distribute.cluster import step_queue as coordinators
from lmn_tf.distribute.cluster.cluster import ClusterError, free_ports
from lmn_tf.distribute.cluster.step_queue import StepQueue, Watchdog


@contextlib.contextmanager
def server():
    """A server that takes a connection and greets; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            connection, _ = listening.accept()
            with connection:
                connection.sendall(bytes(9))

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


def test_asks_each_process():
    closed = f"127.0.0.1:{free_ports(1)[0]}"
    with server() as here:
        asks = Watchdog({here: "Worker 0", closed: "Worker 1"}, lambda: True)
        assert asks.silent(patience=60.0) == ["Worker 1"]


class Rounds:
    """Counts how often a watchdog has looked whether there is anything to wait for."""

    def __init__(self, is_waiting=True):
        self.is_waiting = is_waiting
        self._count = AwaitedCount()

    def __call__(self):
        self._count.add()
        return self.is_waiting

    def wait(self, more=8):
        self._count.wait_until(self._count.value + more)


@pytest.fixture
def clock(monkeypatch):
    """The watchdog's time, which stands still until it is moved."""
    clock = types.SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(step_queue, "time", clock)
    return clock


@contextlib.contextmanager
def watched(*arguments, **options):
    watch = Watchdog(*arguments, seconds=0.04, **options)
    watch.start()
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
        watch._thread.join()


def test_names_who_hangs_once_and_tells_when_it_answers(clock, monkeypatch):
    hanging, said, rounds = {"two"}, [], Rounds()
    monkeypatch.setattr(step_queue, "answers", lambda place, patience: place not in hanging)
    with watched({"one": "Worker 0", "two": "Worker 1"}, rounds, say=said.append):
        rounds.wait()
        assert said == []
        clock.now = 7.0
        rounds.wait()
        hanging.clear()
        rounds.wait()
    assert said == [
        "Worker 1 does not answer: no step has ended for 7 s. End that process "
        "and start it again; if it is a worker, its step goes to another one.",
        "Worker 1 answers again.",
    ]


def test_says_nothing_while_steps_end_or_none_is_waited_for(clock, monkeypatch, capsys):
    monkeypatch.setattr(step_queue, "answers", lambda place, patience: False)
    busy, idle = Rounds(), Rounds(is_waiting=False)
    with watched({"one": "Worker 0"}, busy) as watch, watched({"one": "Worker 0"}, idle):
        for _ in range(5):
            clock.now += 0.03
            busy.wait()
            watch.beat()
            idle.wait()
        assert capsys.readouterr().err == ""
        clock.now += 1.0
        busy.wait()
        assert capsys.readouterr().err.count("Worker 0 does not answer") == 1


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
