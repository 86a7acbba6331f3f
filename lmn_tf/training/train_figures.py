"""Figures of training in `metrics.json`."""

from typing import Any

from lmn_tf.training.training_loop import TrainingLoop, TrainState


def train_figures(loop: TrainingLoop | None, state: TrainState) -> dict[str, Any]:
    """Returns what `metrics.json` has of training.

    Args:
        loop: The `TrainingLoop` of all epochs; `None` if each had its own.
        state: Its final state.

    Returns:
        Dictionary of the number of `rows` of an epoch (with a `loop`), `steps`, `epochs`,
        `examples`, speed, `loss` of the last epoch, and `history`, the figures of each epoch
        without nested groups.
    """
    rows = {} if loop is None else {"rows": loop.num_rows}  # days have different numbers
    return {
        **rows,
        "steps": state.step,
        "epochs": len(state.history),
        "examples": state.examples,
        "examples_per_second": state.examples_per_second,
        "input_wait": state.input_wait,
        "seconds": state.seconds,
        "loss": state.history[-1]["loss"],
        "history": [
            {key: _brief(value) for key, value in figures.items()} for figures in state.history
        ],
    }


def _brief(value):
    """Returns a value of the history, without nested groups of figures."""
    if not isinstance(value, dict):
        return value
    return {key: figure for key, figure in value.items() if not isinstance(figure, dict)}
