import os
import signal
import time

import pytest
from sleeping_server import sleep

from lmn_tf.distribute import local_servers
from lmn_tf.distribute.local_servers import LocalServers


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
