"""Runners of contenders, in worker processes or in this process."""

import contextlib
import importlib.util
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timer.contender import Contender, Work
from timer.machine import peak_mib

FOLDER = Path(__file__).resolve().parent.parent
_SERVE = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from timer.worker import serve; serve(*sys.argv[2:])"
)


class Failure(Exception):
    """Failure of a contender, with the last line that it printed."""


class Here:
    """A contender built in this process."""

    def __init__(self, script, contender):
        work = contender.build(**contender.arguments)
        self._work = work if hasattr(work, "step") else Work(work)

    def ready(self):
        pass

    def output(self, path):
        return None if self._work.output is None else self._work.output()

    def run(self, count):
        times = []
        for _ in range(count):
            started = time.perf_counter()
            self._work.step()
            times.append(time.perf_counter() - started)
        return times

    def finish(self):
        facts = dict(self._work.facts)
        if self._work.finish is not None:
            facts.update(self._work.finish())
        return {"examples": self._work.examples, "facts": facts}

    def close(self):
        pass


class Worker:
    """A contender in a separate process, controlled by lines of JSON."""

    def __init__(self, script, contender):
        self._log = tempfile.TemporaryFile()
        command = [
            contender.python or sys.executable,
            "-c",
            _SERVE,
            str(FOLDER),
            str(script),
            contender.build.__name__,
            json.dumps(dict(contender.arguments)),
        ]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={"TF_CPP_MIN_LOG_LEVEL": "2", **_environment(), **contender.environment},
        )

    def ready(self):
        """Waits until the contender is built."""
        self._answer()

    def output(self, path):
        if not self._ask("output", path):
            return None
        import numpy as np

        return np.load(path)

    def run(self, count):
        return self._ask("run", count)

    def finish(self):
        return self._ask("finish")

    def close(self):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._log.close()

    def _ask(self, *command):
        with contextlib.suppress(BrokenPipeError):  # it has ended: `_answer` raises the reason
            print(json.dumps(command), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)["result"]
        status = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        if status < 0:
            raise Failure(f"ended by signal {-status}: out of memory?")
        raise Failure(lines[-1] if lines else f"ended with status {status}")


def _environment():
    """Environment of workers, in which they import the package of this process."""
    environment = dict(os.environ)
    package = importlib.util.find_spec("lmn_tf")
    if package is not None:
        root = str(Path(package.origin).resolve().parent.parent)
        paths = [root, *filter(None, [environment.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment


def serve(script, function, arguments):
    """Builds a contender in a worker and answers commands until the input ends."""
    # Output of libraries must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(result):
        print(json.dumps({"result": result}), file=answers, flush=True)

    sys.path.insert(0, str(Path(script).parent))
    build = runpy.run_path(script, run_name="worker")[function]
    here = Here(script, Contender("", build, json.loads(arguments)))
    built = peak_mib()
    answer(None)
    for line in sys.stdin:
        command, *rest = json.loads(line)
        if command == "run":
            answer(here.run(*rest))
        elif command == "output":
            output = here.output(*rest)
            if output is not None:
                import numpy as np

                np.save(*rest, np.asarray(output))
            answer(output is not None)
        else:
            answer({**here.finish(), "built_mib": built, "peak_mib": peak_mib()})
