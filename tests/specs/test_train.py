import pytest
from spec_edits import PIPELINE, check_refused

from lmn_tf.specs.train import Train


def test_defaults():
    train = Train()
    assert (train.epochs, train.seed, train.precision) == (1, 1, "float32")
    assert (train.checkpoint_steps, train.deterministic, train.tensorboard) == (500, True, True)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("epochs: 3", "epochs: 0", "`train.epochs` must be at least 1. Received: epochs=0"),
        ("epochs: 3", "epoch: 3", "unknown key `epoch` in `train`. Did you mean `epochs`?"),
        ("seed: 7", "seed: -7", "`train.seed` must be at least 0"),
        ("seed: 7", "seed: 4294967296", "`train.seed` must be at most 4294967295"),
        ("mixed_bfloat16", "bfloat16", "Did you mean `mixed_bfloat16`?"),
        ("clip_norm: 1.0", "clip_norm: 0", "`train.clip_norm` must be greater than 0"),
        (
            "deterministic: false",
            "deterministic: no",
            "`train.deterministic` must be true or false. Received: deterministic='no'",
        ),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(PIPELINE, old, new, message, tmp_path)
