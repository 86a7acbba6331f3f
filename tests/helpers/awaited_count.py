"""A count that one thread raises and another waits for."""

import threading


class AwaitedCount:
    def __init__(self):
        self.value = 0
        self._changed = threading.Condition()

    def add(self):
        with self._changed:
            self.value += 1
            self._changed.notify_all()

    def wait_until(self, value):
        with self._changed:
            assert self._changed.wait_for(lambda: self.value >= value, timeout=60)
