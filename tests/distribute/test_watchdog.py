import contextlib
import socket
import threading
import types

import pytest
from awaited_count import AwaitedCount

from lmn_tf.distribute import watchdog
from lmn_tf.distribute.cluster import free_ports
from lmn_tf.distribute.watchdog import Watchdog


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
    monkeypatch.setattr(watchdog, "time", clock)
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
    monkeypatch.setattr(watchdog, "answers", lambda place, patience: place not in hanging)
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
    monkeypatch.setattr(watchdog, "answers", lambda place, patience: False)
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
