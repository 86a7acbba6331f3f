"""`lmn-tf launch` in processes of its own, watched line by line and ended for sure."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Launched:
    """A launched run: `lines` grow as it writes to stderr."""

    def __init__(self, *arguments, command="launch", environment=None):
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lmn_tf.cli.main", command, *map(str, arguments)],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "TF_CPP_MIN_LOG_LEVEL": "3",
                **(environment or {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for pid in {self.process.pid, *self.pids().values()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(10)
        self.process.stdout.close()

    def text(self):
        return "\n".join(self.lines)

    def pids(self):
        """Process ids by name, the newest of each."""
        found = re.findall(r"launch: (.*?)(?: at \S+)? is process (\d+)\.", self.text())
        found += re.findall(r"launch: (.*?) ended .*started again as (\d+)\.", self.text())
        return {name: int(pid) for name, pid in found}

    def wait_for(self, pattern, seconds=120):
        """Waits for a line; returns the match."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = re.search(pattern, self.text())
            if found:
                return found
            if self.process.poll() is not None:
                time.sleep(0.5)  # what it wrote last is being read
                found = re.search(pattern, self.text())
                if found:
                    return found
                break
            time.sleep(0.05)
        raise TimeoutError(f"no line like {pattern} in\n{self.text()}")

    def kill(self, name, number=signal.SIGKILL):
        os.kill(self.pids()[name], number)

    def wait(self, seconds=120):
        """Waits for the end; returns the exit status."""
        status = self.process.wait(seconds)
        self._reader.join(10)
        return status

    def alive(self):
        """Names of the processes that are still there."""
        return [name for name, pid in self.pids().items() if _is_alive(pid)]


def _is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
