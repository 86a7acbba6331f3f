import os
import signal
import socket
import time
import types

import pytest
from sleeping_server import sleep

from lmn_tf.distribute.cluster import local_servers
from lmn_tf.distribute.cluster.local_servers import LocalServers


@pytest.fixture
def light(monkeypatch):
    """Processes that only sleep."""
    monkeypatch.setattr(local_servers, "_PRELOADED", ())
    monkeypatch.setattr(local_servers, "_serve", sleep)


def test_a_worker_is_started_again_and_a_server_is_not(light):
    said = []
    with LocalServers(2, 1, say=said.append, most_restarts=1) as servers:
        assert servers.tend() is None
        before = servers.pid("worker", 1)
        end(before)
        assert wait_for(lambda: servers.tend() is None and servers.pid("worker", 1) != before)
        assert said[0].startswith("worker 1 ended (signal 9): started again as ")
        end(servers.pid("worker", 0))
        assert wait_for(servers.tend) == "worker 0 (signal 9)"  # no restart is left
    with LocalServers(1, 2, say=said.append) as servers:
        pids = [servers.pid("ps", index) for index in range(2)]
        end(pids[1])
        assert wait_for(servers.tend) == "parameter server 1 (signal 9)"
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_a_worker_that_answers_no_more_is_started_again(light, monkeypatch):
    silent, said = set(), []
    monkeypatch.setattr(local_servers, "answers", lambda place, patience: place not in silent)
    with LocalServers(2, 1, say=said.append, hang_seconds=0.2) as servers:
        silent.update(servers.cluster.tasks().values())
        for _ in range(6):  # None has answered yet: they may still be starting.
            time.sleep(0.06)
            assert servers.tend() is None
        assert said == []
        silent.clear()
        time.sleep(0.06)
        servers.tend()
        pids = [servers.pid("worker", index) for index in range(2)]
        silent.update([servers.cluster.workers[1], *servers.cluster.servers])
        assert wait_for(lambda: servers.tend() is None and servers.pid("worker", 1) != pids[1])
        assert said[0] == "worker 1 has not answered for 0.2 s: ended."
        assert said[1].startswith("worker 1 ended (signal 9): started again as ")
        assert servers.pid("worker", 0) == pids[0] and len(said) == 2


def test_a_pause_of_everything_counts_as_one_round(light, monkeypatch):
    clock, answer = [0.0], [True]
    time_of_servers = types.SimpleNamespace(monotonic=lambda: clock[0])
    monkeypatch.setattr(local_servers, "time", time_of_servers)
    monkeypatch.setattr(local_servers, "answers", lambda place, patience: answer[0])
    with LocalServers(1, 1, say=pytest.fail, hang_seconds=60.0) as servers:
        servers.tend()
        clock[0], answer[0] = 1e6, False
        servers.tend()
        clock[0], answer[0] = 1e6 + 5, True
        servers.tend()
        assert servers._silent_rounds == {("worker", 0): 0}


def test_a_port_taken_before_it_is_used_is_replaced(monkeypatch):
    with socket.create_server(("", 0)) as other:
        taken = other.getsockname()[1]
        monkeypatch.setattr(local_servers, "free_ports", lambda count: [taken] * count)
        servers = LocalServers(1, 1)
        places = [*servers.cluster.workers, *servers.cluster.servers]
        ports = {int(place.rpartition(":")[2]) for place in places}
        assert len(ports) == 2 and taken not in ports
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("", min(ports)))
        servers.stop()
        other.bind(("", min(ports)))


def end(pid):
    os.kill(pid, signal.SIGKILL)


def wait_for(condition):
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    return None
