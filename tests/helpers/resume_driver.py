"""Trains in child processes that are killed at chosen moments.

TensorFlow is imported once and each child is forked before TensorFlow has started anything.
"""

import contextlib
import io
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

import keras  # noqa: F401
import numpy as np
import tensorflow as tf  # noqa: F401

from lmn_tf import atomic_files
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.daily_trainer import make_trainer
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.saving import checkpoints
from lmn_tf.training.training_loop import TrainingLoop

ROOT = Path(__file__).resolve().parents[2]


def check_kills_leave_no_trace(whole, broken, moments):
    """Checks that a run which is killed at each of `moments` ends with the weights of another.

    Args:
        whole: Path of a pipeline that writes its run beside itself, into a folder of its name.
        broken: Path of the same pipeline with another name.
        moments: List of strings, such as `"kill_at_step=2"`: a function of this module and its
            argument.

    Returns:
        The states of the last checkpoints of both runs.
    """
    done = subprocess.run(
        [sys.executable, __file__, str(whole), str(broken), *moments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    want = ["whole 0", *(f"{moment} -9" for moment in moments), "end 0"]
    assert done.stdout.splitlines() == want, done.stderr[-4000:]
    (one, state), (other, other_state) = (
        checkpoints.Checkpoints(path.with_suffix("") / "checkpoints").latest()
        for path in (whole, broken)
    )
    assert list(one) == list(other)
    for key, value in one.items():
        np.testing.assert_array_equal(value, other[key], err_msg=key)
    return state, other_state


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at_step(step):
    """Dies right after a step, before anything of it is written."""
    finish = TrainingLoop._finish_step

    def finish_step(self, seconds, loss):
        if self.state.step + 1 == step:
            die()
        finish(self, seconds, loss)

    TrainingLoop._finish_step = finish_step


def kill_in_write(name):
    """Dies with half of a checkpoint on the disk: the one whose name starts so."""

    write = checkpoints.write_arrays

    def write_half(path, values, state):
        if path.name.startswith(name):
            half = path.with_name(f".partial-00000000-{path.name}")
            write(half, values, state)
            for file in sorted(half.iterdir())[1:]:
                file.unlink()
            content = next(half.iterdir()).read_bytes()
            next(half.iterdir()).write_bytes(content[: len(content) // 2])
            die()
        write(path, values, state)

    checkpoints.write_arrays = write_half


def kill_before_rename(name):
    """Dies when a file is written and flushed, but not yet in its place."""
    flush = atomic_files._flush

    def flush_and_die(path):
        flush(path)
        if path.name.startswith(".partial-") and path.name.split("-", 2)[2].startswith(name):
            die()

    atomic_files._flush = flush_and_die


def kill_after_rename(name):
    """Dies when a folder is in its place, before anything else is done."""
    atomic_folder = atomic_files.atomic_folder

    @contextlib.contextmanager
    def fill_and_die(path, **options):
        with atomic_folder(path, **options) as folder:
            yield folder
        if path.name.startswith(name):
            die()

    atomic_files.atomic_folder = fill_and_die


def kill_in_evaluation(number):
    """Dies within an evaluation, counted from 1."""
    evaluate = Evaluator.evaluate
    count = [0]

    def evaluate_and_die(self, dataset, *arguments):
        figures = evaluate(self, dataset, *arguments)
        count[0] += 1
        if count[0] == number:
            die()
        return figures

    Evaluator.evaluate = evaluate_and_die


def in_child(work):
    """Runs a function in a forked process; returns how that ended."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def train(pipeline, moment):
    if moment:
        globals()[moment[0]](moment[1])
    make_trainer(PipelineSpec.load(pipeline), resume=True, stream=io.StringIO()).train()


def main(whole, broken, *moments):
    """Trains `whole` undisturbed and `broken` with a kill at each of `moments`, then to its end."""
    status = in_child(lambda: train(whole, None))
    print(f"whole {status}", flush=True)
    for moment in [*moments, ""]:
        name, _, value = moment.partition("=")
        value = int(value) if value.isdigit() else value
        status = in_child(lambda: train(broken, (name, value) if name else None))  # noqa: B023
        print(f"{moment or 'end'} {status}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
