import io
import types

from lmn_tf.training.train_state import TrainState
from lmn_tf.training.watcher import Watcher


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
