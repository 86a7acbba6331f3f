from pathlib import Path

import pytest

from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.training.comparison.comparison_plan import ComparisonPlan
from lmn_tf.training.comparison.finished_runs import FinishedRuns

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = sorted((ROOT / "pipelines" / "results").glob("*/finished"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_a_comparison_goes_on_from_its_committed_runs(folder):
    """Rows, options and defaults are still those of the runs that were committed."""
    spec = ComparisonSpec.load(ROOT / "pipelines" / f"{folder.parent.name}.yaml")
    plan = ComparisonPlan(spec, spec.seeds)
    finished = FinishedRuns(folder, plan.features)
    runs = [run for run in plan.everything() if finished.path(run).is_file()]
    for run in runs:
        finished.check(run, plan.pipeline(run))
    assert len(runs) == len(list(folder.iterdir()))
