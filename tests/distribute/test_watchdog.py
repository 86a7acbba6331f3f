import contextlib
import socket
import threading
import time

from lmn_tf.distribute.cluster import free_ports
from lmn_tf.distribute.watchdog import Watchdog


@contextlib.contextmanager
def server(free):
    """A server that takes connections, and greets once it is free to; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        free.wait(0.3)
                        if free.is_set():
                            connection.sendall(bytes(9))

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def set_event():
    event = threading.Event()
    event.set()
    return event


def wait_for(condition, seconds=20.0):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def test_asks_each_process():
    closed = f"127.0.0.1:{free_ports(1)[0]}"
    with server(set_event()) as here:
        watchdog = Watchdog({here: "Worker 0", closed: "Worker 1"}, lambda: True)
        assert watchdog.silent(patience=5.0) == ["Worker 1"]


def test_names_who_hangs_once_and_tells_when_it_answers():
    free, said = threading.Event(), []
    with server(set_event()) as one, server(free) as other:
        tasks = {one: "Worker 0", other: "Worker 1"}
        watchdog = Watchdog(tasks, lambda: True, seconds=0.2, say=said.append)
        watchdog.start()
        watchdog.start()
        try:
            assert wait_for(lambda: said)
            time.sleep(0.5)
            assert len(said) == 1
            assert said[0].startswith("Worker 1 does not answer: no step has ended for")
            free.set()
            assert wait_for(lambda: len(said) == 2)
            assert said[1] == "Worker 1 answers again."
        finally:
            watchdog.stop()
            free.set()


def test_says_nothing_while_steps_end_or_none_is_waited_for(capsys):
    closed = f"127.0.0.1:{free_ports(1)[0]}"
    idle = Watchdog({closed: "Worker 0"}, lambda: False, seconds=0.05)
    busy = Watchdog({closed: "Worker 0"}, lambda: True, seconds=5.0)
    idle.start()
    busy.start()
    for _ in range(10):
        busy.beat()
        time.sleep(0.05)
    idle.stop()
    busy.stop()
    assert capsys.readouterr().err == ""
