"""A run that is killed again and again ends with the weights of a run that was not."""

import json

import numpy as np
import pytest
from resume_driver import check_kills_leave_no_trace
from tiny_run import DNN, write_pipeline

from lmn_tf.training.saving.checkpoints import Checkpoints, read_arrays

# 8 or 9 steps an epoch of 2,100 to 2,400 rows, a checkpoint each 3 steps.
MOMENTS = [
    "kill_at_step=2",  # before the first checkpoint
    "kill_in_write=step-0000000006",  # half a checkpoint on the disk
    "kill_at_step=8",  # between two checkpoints
    "kill_in_evaluation=1",  # all steps of the epoch done
    "kill_before_rename=best-0000",  # the best weights written, not in place
    "kill_after_rename=best-0000",  # in place, and named by no checkpoint
    "kill_at_step=14",  # in the next epoch
    "kill_before_rename=model.keras",  # training done
    "kill_before_rename=metrics.json",  # all done but one name
]


@pytest.mark.parametrize(
    ("moments", "model"),
    [
        pytest.param(MOMENTS[1:2], DNN, id="one"),
        pytest.param(MOMENTS, None, id="all", marks=pytest.mark.slow),
    ],
)
def test_kills_leave_no_trace(moments, model, tmp_path):
    options = {"deterministic": True, "early_stopping": {"monitor": "auc"}, "epochs": 2}
    tables = {"row_wise_adagrad": {"idle_decay": 0.001, "frequency_rate": True}}
    options["optimizer"] = {"tables": tables}
    whole, broken = (
        write_pipeline(tmp_path / f"{name}.yaml", tmp_path / name, model, **options)
        for name in ("whole", "broken")
    )
    state_a, state_b = check_kills_leave_no_trace(whole, broken, moments)
    count = len(Checkpoints(tmp_path / "whole" / "checkpoints").latest()[0])
    assert count > (9 if model == DNN else 50)
    for key in ("epoch", "step", "examples", "early_stopping", "best_file", "finished"):
        assert state_a[key] == state_b[key], key
    best = [
        read_arrays(tmp_path / n / "checkpoints" / state_a["best_file"])[0]
        for n in ("whole", "broken")
    ]
    for key, value in best[0].items():
        np.testing.assert_array_equal(value, best[1][key], err_msg=key)

    first, second = (
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "broken")
    )
    for part in ("valid", "test"):
        for figures in (first, second):
            figures[part].pop("examples_per_second")
        assert first[part] == second[part]
    losses = [[epoch["loss"] for epoch in m["train"]["history"]] for m in (first, second)]
    assert losses[0] == losses[1]
    assert not list(tmp_path.rglob(".partial-*"))
