import pytest
from spec_edits import PIPELINE, check_refused

from lmn_tf.specs.train import Schedule


def test_defaults():
    assert Schedule() == Schedule(kind="constant", warmup_steps=0, decay_steps=None, decay_rate=0.5)


def test_defaults_may_be_written_out():
    assert Schedule(decay_steps=None, decay_rate=0.5) == Schedule()
    assert Schedule(kind="cosine", decay_steps=9).decay_steps == 9


@pytest.mark.parametrize(
    "old, new, message",
    [
        (
            "kind: exponential",
            "kind: linear",
            "`train.schedule.kind` must be one of 'constant', 'cosine' or 'exponential'.",
        ),
        (
            "warmup_steps: 10",
            "warmup_steps: -1",
            "`train.schedule.warmup_steps` must be at least 0.",
        ),
        ("decay_rate: 0.9", "decay_rate: 2", "`train.schedule.decay_rate` must be at most 1."),
        (", decay_steps: 100", "", "`decay_steps` must be given for kind exponential"),
        (
            "kind: exponential, ",
            "",
            "`decay_steps` must be given for kind cosine or exponential only. "
            "Received: `decay_steps` for kind constant",
        ),
        (
            "kind: exponential",
            "kind: cosine",
            "`decay_rate` must be given for kind exponential only. "
            "Received: `decay_rate` for kind cosine",
        ),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(PIPELINE, old, new, message, tmp_path)
