"""One run of a benchmark script."""

import argparse
import datetime
import importlib.util
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from timer.figures import summarize
from timer.machine import OtherWork, machine, versions
from timer.table import markdown
from timer.worker import FOLDER, Failure, Here, Worker

_MAX_STEPS = 50  # per turn


class Benchmark:
    """One run of a benchmark script: its command line, cases and table.

    Args:
        script: Path of the script, `__file__`.
        description: The script's docstring.
        argv: List of strings. Command line arguments. Defaults to `None`: those of the process.
        add_options: Function that adds options of the script to an `argparse` parser. Their values
            are then in `options`. Defaults to `None`.
    """

    def __init__(self, script, description, argv=None, add_options=None):
        self.script = Path(script).resolve()
        self.name = self.script.stem
        self.description = (description or "").strip()
        self.argv = list(sys.argv[1:] if argv is None else argv)
        parser = _parser(self.name, self.description)
        if add_options is not None:
            add_options(parser)
        self.options = parser.parse_args(self.argv)
        self.quick = self.options.quick
        self.rounds = self.options.rounds or (3 if self.quick else 11)
        self.cases = []
        self.notes = []
        self._started = datetime.datetime.now(datetime.UTC)
        self._others = OtherWork()

    def compare(self, case, *contenders, ratio="speed", agree=None, rounds=None, seconds=None):
        """Times the contenders of one case in turns.

        Args:
            case: String. What the contenders do, with its sizes.
            *contenders: `Contender`s. The others are compared with the first one that can run.
            ratio: `"speed"` (time of the first / time of this) or `"time"` (the inverse). Defaults
                to `"speed"`.
            agree: Float. Largest allowed difference between the first output and each other one,
                relative to the largest value of the first. A larger one is an error. Defaults to
                `None`: outputs are not compared.
            rounds: Integer. Turns of each contender, unless `--rounds` is given. Defaults to
                `None`: 11, or 3 with `--quick`.
            seconds: Float. Approximate duration of a turn, which has at least one measured step.
                Defaults to `None`: 0.5, or 0.02 with `--quick`.

        Returns:
            Dictionary of the case as in the JSON file, or `None` if `--only` leaves it out.
        """
        if not self.is_wanted(case):
            return None
        rounds = self.options.rounds or rounds or self.rounds
        seconds = seconds or (0.02 if self.quick else 0.5)
        runners, rows = [], []
        try:
            for contender in contenders:
                self._log(f"{case}: {contender.label}")
                row = {"contender": contender.label}
                rows.append(row)
                runner = self._open(contender, row)
                if runner is not None:
                    runners.append((runner, contender, row))
            for runner, _, row in runners:  # they are built at the same time
                _attempt(row, runner.ready)
            self._agree(case, runners, agree)
            turns = self._take_turns(runners, rounds, seconds)
            for runner, _, row in runners:
                if "failed" not in row:
                    _attempt(row, lambda runner=runner, row=row: row.update(runner.finish()))
        finally:
            for runner, _, _ in runners:
                runner.close()
        summarize(runners, turns, ratio)
        result = {"case": case, "ratio": ratio, "contenders": rows}
        self.cases.append(result)
        return result

    def figures_of(self, contender):
        """Builds a contender in a worker, and returns what it reports at its end, without steps.

        Args:
            contender: `Contender`.

        Returns:
            Dictionary as a row of `compare`: with `facts`, or why there are none, as `skipped` or
            `failed`.
        """
        self._log(contender.label)
        row = {"contender": contender.label}
        runner = self._open(contender, row)
        if runner is not None:
            try:
                _attempt(row, lambda: (runner.ready(), row.update(runner.finish())))
            finally:
                runner.close()
        return row

    def leave_out(self, case, label, why):
        """Adds a row for a contender that is not tried, unless `--only` excludes the case.

        Args:
            case: String, as in `compare`.
            label: String. The name of the contender.
            why: String. The reason, shown in its row.
        """
        if self.is_wanted(case):
            row = {"contender": label, "skipped": why}
            self.cases.append({"case": case, "ratio": "speed", "contenders": [row]})

    def report(self, case, label, facts):
        """Adds a row of figures that the script has measured itself.

        Args:
            case: String, as in `compare`.
            label: String. What was measured.
            facts: Mapping of JSON values, the columns of the table.
        """
        row = {"contender": label, "facts": facts}
        self.cases.append({"case": case, "ratio": "speed", "contenders": [row]})

    def note(self, text):
        """Adds a sentence below the table."""
        self.notes.append(text)

    def finish(self):
        """Prints the table, writes it to the output folder, and returns the exit status."""
        if not self.cases:
            message = (
                f"`--only` must be in the title of a case. Received: only={self.options.only!r}"
            )
            print(f"lmn-tf: benchmark {self.name}: {message}", file=sys.stderr)
            return 2
        result = {
            "name": self.name,
            "description": self.description.splitlines()[0],
            "quick": self.quick,
            "command": shlex.join(["lmn-tf", "benchmark", self.name, *self.argv]),
            "date": self._started.isoformat(timespec="seconds"),
            "machine": {**machine(), "share_of_others": self._others.share()},
            "versions": versions(),
            "rounds": self.rounds,
            "cases": self.cases,
            "notes": self.notes,
        }
        text = markdown(result)
        print(json.dumps(result, indent=2) if self.options.json else text, flush=True)
        output = self.options.output or (None if self.quick else FOLDER / "results")
        if output:
            from lmn_tf.atomic_files import write_json, write_text

            write_json(Path(output) / f"{self.name}.json", result)
            write_text(Path(output) / f"{self.name}.md", text)
            self._log(f"written to {output}/{self.name}.md and {self.name}.json")
        failed = [row for case in self.cases for row in case["contenders"] if "failed" in row]
        return 1 if failed else 0

    def is_wanted(self, case):
        """Returns whether `--only` leaves a case in."""
        return not self.options.only or self.options.only in case

    def _open(self, contender, row):
        missing = [name for name in contender.needs if not _has(name, contender.python)]
        if missing:
            row["skipped"] = f"needs {' and '.join(missing)}: `pip install -e .[bench]`"
            return None
        kind = Here if self.options.in_process else Worker
        return kind(self.script, contender)

    def _agree(self, case, runners, agree):
        if agree is None:
            return
        import numpy as np

        with tempfile.TemporaryDirectory() as folder:
            first = None
            for number, (runner, contender, row) in enumerate(runners):
                if "failed" in row:
                    continue
                path = f"{folder}/{number}.npy"
                output = _attempt(row, lambda runner=runner, path=path: runner.output(path))
                if output is None:  # it has no output, or has failed
                    continue
                if first is None:
                    first = output
                    continue
                scale = max(float(np.abs(first).max()), 1e-30)
                row["difference"] = float(np.abs(output - first).max()) / scale
                if not row["difference"] <= agree:
                    raise RuntimeError(
                        f"{case}: the output of {contender.label} must agree with the first "
                        f"contender's to {agree}. Received: {row['difference']}"
                    )

    def _take_turns(self, runners, rounds, seconds):
        turns = {id(row): [] for _, _, row in runners}
        steps = {}
        for number in range(rounds):
            self._log(f"turn {number + 1} of {rounds}")
            for runner, _, row in runners:
                if "failed" in row:
                    continue
                key = id(row)
                if key not in steps:
                    _attempt(row, lambda runner=runner: runner.run(1))  # traces and compiles
                    times = _attempt(row, lambda runner=runner: runner.run(1))
                    if not times:
                        continue
                    steps[key] = min(max(int(seconds / max(times[0], 1e-9)), 1), _MAX_STEPS)
                times = _attempt(row, lambda runner=runner, key=key: runner.run(steps[key] + 1))
                if times:
                    turns[key].append(statistics.median(times[1:]))
        return turns

    def _log(self, text):
        if not self.options.quiet:
            print(f"[{self.name}] {text}", file=sys.stderr, flush=True)


class _Parser(argparse.ArgumentParser):
    """Parser that reports a mistake in one line, with the nearest option."""

    def error(self, message):
        from lmn_tf.specs.errors import did_you_mean

        wrong = message.removeprefix("unrecognized arguments: ").split()[0]
        if wrong in message.split()[2:] and wrong.startswith("-"):
            known = [option for option in self._option_string_actions if option.startswith("--")]
            message = f"`{wrong}` must be an option.{did_you_mean(wrong, known)}"
        self.exit(2, f"lmn-tf: benchmark {self.prog}: {message}\n")


def _parser(name, description):
    parser = _Parser(
        prog=name,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="tiny sizes and few turns, to test that it runs")
    add("--output", help="folder of the table; default: results/, none with --quick")
    add("--json", action="store_true", help="print the figures as JSON")
    add("--rounds", type=int, help="turns of each contender")
    add("--only", help="only the cases whose title contains this text")
    add("--quiet", action="store_true", help="no progress on stderr")
    add("--in-process", action="store_true", help="no workers, for tests and debugging")
    return parser


def _has(module, python):
    if python is None:
        return importlib.util.find_spec(module) is not None
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", code]).returncode == 0


def _attempt(row, function):
    """Calls a function of a runner; a failure is stored in the row and ends its turns."""
    try:
        return function()
    except Failure as error:
        row["failed"] = str(error)
        return None
