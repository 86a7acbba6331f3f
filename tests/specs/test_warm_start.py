import pytest
from spec_edits import PIPELINE, check_refused

from lmn_tf.specs.pipeline_spec import PipelineSpec


def test_reads():
    start = PipelineSpec.load(PIPELINE).warm_start
    assert (start.run, start.opening_steps, start.row_state) == ("runs/before", 30, False)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("opening_steps: 30", "opening_steps: 0", "`warm_start.opening_steps` must be at least 1"),
        ("row_state: false", "rowstate: false", "Did you mean `row_state`?"),
        ("run: runs/before, ", "", "`run` must be given in `warm_start`"),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(PIPELINE, old, new, message, tmp_path)
