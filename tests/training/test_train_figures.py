import types

from lmn_tf.training.train_figures import train_figures
from lmn_tf.training.training_loop import TrainState


def test_what_metrics_have_of_training():
    valid = {"auc": 0.7, "memory": {"slots_used": 50.0}}
    history = [{"epoch": 0, "loss": 0.6}, {"epoch": 1, "loss": 0.5, "valid": valid}]
    state = TrainState(step=4, examples=14, seconds=2.0, history=history)
    found = train_figures(types.SimpleNamespace(num_rows=7), state)
    assert (found["rows"], found["epochs"], found["steps"], found["loss"]) == (7, 2, 4, 0.5)
    assert found["examples_per_second"] == 7.0 and found["history"][0] == history[0]
    assert found["history"][1]["valid"] == {"auc": 0.7}
    assert "rows" not in train_figures(None, state)
