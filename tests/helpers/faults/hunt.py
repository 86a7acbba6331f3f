"""Counts what becomes of damaged inputs, each tried in a process of its own kind.

`python tests/helpers/faults/hunt.py --cases 2000` prints the table of `tests/faults/README.md`.
"""

import argparse
import collections
import dataclasses
import json
import selectors
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
_START_SECONDS = 180
_HANG_SECONDS = 30


@dataclasses.dataclass
class Tally:
    """What became of the cases of one target."""

    target: str
    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    troubles: dict = dataclasses.field(default_factory=dict)  # seed: detail
    start_peak: int = 0
    peak: int = 0

    @property
    def cases(self):
        return self.counts.total()

    def add(self, seed, outcome, detail):
        self.counts[outcome] += 1
        if outcome in ("uncaught", "crashed", "hung", "other"):
            self.troubles[seed] = f"{outcome}: {detail}"

    def of(self, outcome):
        """The details of one outcome, by seed."""
        return {k: v for k, v in self.troubles.items() if v.startswith(outcome)}


class _Worker:
    """The process that tries the cases, started again after it has died."""

    def __init__(self, target, folder):
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), target, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)
        self.start = self._answer(_START_SECONDS)

    def attempt(self, seed):
        self._process.stdin.write(f"{seed}\n".encode())
        self._process.stdin.flush()
        return self._answer(_HANG_SECONDS)

    def _answer(self, seconds):
        if not self._selector.select(seconds):
            return {"outcome": "hung", "detail": f"no answer in {seconds} s"}
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        status = self._process.wait()
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        self._errors.seek(0)
        tail = self._errors.read()[-400:].decode(errors="replace")
        return {"outcome": "crashed", "detail": f"{name} {tail}"}

    def close(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        self._selector.close()
        self._errors.close()


def hunt(target, seeds, folder):
    """Returns the `Tally` of a target over seeds.

    Args:
        target: String. A key of `faults.targets.TARGETS`.
        seeds: Iterable of integers.
        folder: Folder for the files of the target.
    """
    tally, worker = Tally(target), None
    for seed in seeds:
        if worker is None:
            worker = _Worker(target, folder)
            if worker.start["outcome"] != "ready":
                raise RuntimeError(f"{target}: {worker.start['detail']}")
            tally.start_peak = max(tally.start_peak, worker.start["peak"])
        answer = worker.attempt(seed)
        tally.add(seed, answer["outcome"], answer["detail"])
        tally.peak = max(tally.peak, answer.get("peak", 0))
        if answer["outcome"] in ("crashed", "hung"):
            worker.close()
            worker = None
    if worker is not None:
        worker.close()
    return tally


COLUMNS = ("cases", "refused", "same", "other", "uncaught", "crashed", "hung")


def markdown(tallies):
    """Returns the table of tallies."""
    head = [*COLUMNS, "memory at start (MiB)", "peak (MiB)"]
    lines = [f"| damaged | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for tally in tallies:
        counts = [tally.cases, *(tally.counts[name] for name in COLUMNS[1:])]
        cells = [f"{count:,}" for count in (*counts, tally.start_peak, tally.peak)]
        lines.append(f"| {tally.target} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    from faults.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="Cases of each light target.")
    parser.add_argument("--seed", type=int, default=0, help="The first seed.")
    parser.add_argument("targets", nargs="*", help=f"Of {', '.join(TARGETS)}; default: all.")
    options = parser.parse_args()
    tallies = []
    for name in options.targets or TARGETS:
        cases = max(options.cases // TARGETS[name].share, 1)
        with tempfile.TemporaryDirectory() as folder:
            tallies.append(hunt(name, range(options.seed, options.seed + cases), folder))
        kinds = collections.Counter(tallies[-1].troubles.values())
        for detail, count in kinds.most_common(12 if kinds else 0):
            if not detail.startswith("other"):
                print(f"{name}: {count} x {detail}", file=sys.stderr)
    print(markdown(tallies))


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main()
