import io
import re
import types

from lmn_tf.training.monitor.progress import Progress, Watcher
from lmn_tf.training.training_loop import TrainState


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_plain_lines_elsewhere():
    stream = io.StringIO()
    progress = Progress(total=4, stream=stream, every_seconds=1000)
    for step in range(1, 5):
        progress.update(step, loss=1 / step, examples_per_second=1234.6, input_wait=0.126)
    progress.line("epoch 1")
    progress.close()
    lines = stream.getvalue().splitlines()
    # After one step, which compiles the model, nothing is known of the others.
    assert lines[0] == "train: step 1/4 | loss 1.0000 | 1,235 examples/s | input wait 13 %"
    assert lines[1] == (
        "train: step 4/4 | loss 0.2500 | 1,235 examples/s | 0:00 left | input wait 13 %"
    )
    assert lines[2] == "epoch 1" and len(lines) == 3


def test_lines_without_a_total_or_figures():
    stream = io.StringIO()
    progress = Progress(title="predict", stream=stream, every_seconds=0)
    progress.update(1)
    progress.update(2, examples_per_second=5.0)
    assert stream.getvalue().splitlines() == [
        "predict: step 1",
        "predict: step 2 | 5 examples/s",
    ]


def test_time_left_counts_from_where_a_run_was_continued():
    stream = io.StringIO()
    progress = Progress(total=10_000, stream=stream, every_seconds=0)
    progress.update(9_000)
    progress._started -= 3600  # as if an hour had gone by
    progress.update(9_500)
    left = re.search(r"(\S+) left", stream.getvalue().splitlines()[1])[1]
    assert left in ("1:00:00", "1:00:01")


def test_a_bar_on_a_terminal():
    stream = Terminal()
    progress = Progress(total=2, stream=stream)
    assert progress.wants(1)
    progress.update(1, loss=0.5)
    progress.line("epoch 1/2 | loss 0.5")
    progress.close()
    progress.close()
    assert "loss 0.5" in stream.getvalue() and "epoch 1/2" in stream.getvalue()


def test_steps_and_epochs_are_shown():
    stream = io.StringIO()
    watcher = Watcher(2, stream)
    loop = types.SimpleNamespace(state=TrainState(step=2), epochs=3)
    watcher.line("warning: careful")
    watcher.on_epoch(loop, {"epoch": 0, "loss": 0.25})
    watcher.on_step(loop, 0.5)
    watcher.on_epoch(loop, {"epoch": 1, "loss": 0.125, "valid": {"auc": 0.75, "gauc": None}})
    watcher.close()
    lines = stream.getvalue().splitlines()
    assert lines.pop(0) == "warning: careful"
    assert lines[0] == "epoch 1/3 | loss 0.2500"
    assert lines[1].startswith("train: step 2/2 | loss 0.5000")
    assert lines[2] == "epoch 2/3 | loss 0.1250 | valid auc 0.7500"


def test_unfamiliar_values_are_told_once():
    stream = io.StringIO()
    unknown = types.SimpleNamespace(sentences=lambda: ["`a`: 1 of 2", "`b`: 1 of 4"])
    known = types.SimpleNamespace(sentences=list)
    watcher = Watcher(2, stream, {"train": known, "valid": unknown})
    loop = types.SimpleNamespace(state=TrainState(step=2), epochs=2)
    for epoch in range(2):
        watcher.on_epoch(loop, {"epoch": epoch, "loss": 0.25})
    lines = stream.getvalue().splitlines()
    assert lines[1:3] == ["valid data: `a`: 1 of 2", "valid data: `b`: 1 of 4"]
    assert len(lines) == 4
