import threading
import time

from lmn_tf.distribute.watchdog import Watchdog

HERE, GONE = "/device:CPU:0", "/job:worker/replica:0/task:7/device:CPU:0"


def waiting_for(condition, seconds=10.0):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def test_asks_each_process():
    watchdog = Watchdog({HERE: "worker 0", GONE: "worker 7"}, lambda: True)
    assert watchdog.silent(patience=30.0) == ["worker 7"]
    assert watchdog.silent(patience=30.0) == ["worker 7"]  # asked anew


def test_names_who_hangs_once_and_tells_when_it_answers(monkeypatch):
    free = threading.Event()
    ask = Watchdog._ask

    def hang(self, device, question):
        if device == GONE:
            free.wait()
            device = HERE
        ask(self, device, question)

    monkeypatch.setattr(Watchdog, "_ask", hang)
    said = []
    watchdog = Watchdog(
        {HERE: "Worker 0", GONE: "Worker 1"}, lambda: True, seconds=0.2, say=said.append
    )
    watchdog.start()
    watchdog.start()
    try:
        assert waiting_for(lambda: said)
        time.sleep(0.5)
        assert len(said) == 1 and said[0].startswith("Worker 1 does not answer: no step has ended")
        free.set()
        assert waiting_for(lambda: len(said) == 2)
        assert said[1] == "Worker 1 answers again."
    finally:
        watchdog.stop()


def test_says_nothing_while_steps_end_or_none_is_waited_for(capsys):
    idle = Watchdog({GONE: "worker 7"}, lambda: False, seconds=0.05)
    busy = Watchdog({GONE: "worker 7"}, lambda: True, seconds=0.4)
    idle.start()
    busy.start()
    for _ in range(10):
        busy.beat()
        time.sleep(0.05)
    idle.stop()
    busy.stop()
    assert capsys.readouterr().err == ""
