from spec_edits import PIPELINE, check_refused

from lmn_tf.specs.distribute import Distribute


def test_default():
    assert Distribute().strategy == "none"


def test_refuses(tmp_path):
    message = "`distribute.strategy` must be one of 'none', 'mirrored'"
    check_refused(PIPELINE, "strategy: mirrored", "strategy: mirored", message, tmp_path)
