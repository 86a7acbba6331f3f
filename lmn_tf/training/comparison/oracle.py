"""Best possible figures on the generated data of a comparison."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from lmn_tf.specs.pipeline_spec import PipelineSpec


def find_oracle(
    pipeline: PipelineSpec, earlier: str | os.PathLike, models: Mapping[str, Mapping]
) -> dict | None:
    """Returns the best possible figures on generated data, or `None` if they are not known.

    They are in `oracle.json` beside the data. Where that is missing, as on a machine that has the
    files of finished runs only, those of an earlier `comparison.json` are kept if its runs are the
    same: they have the same AUC, digit by digit, in all seeds that both have.

    Args:
        pipeline: The `PipelineSpec` of the comparison.
        earlier: Path of the `comparison.json` that the comparison replaces.
        models: The `models` of the result of `summary`.
    """
    data = pipeline.data
    path = Path(data.directory or os.path.dirname(data.test or data.train)) / "oracle.json"
    if path.is_file():
        oracle = json.loads(path.read_text(encoding="utf-8"))
        return oracle.get("test" if data.test else "valid")
    try:
        before = json.loads(Path(earlier).read_text(encoding="utf-8"))
        kept, old = before["oracle"], _aucs(before["models"])
    except (OSError, ValueError, LookupError, TypeError):  # there is none, or it is damaged
        return None
    new = _aucs(models)
    common = old.keys() & new.keys()
    is_same = common and all(old[key] == new[key] for key in common)
    return kept if is_same else None


def _aucs(models) -> dict[tuple, float]:
    """Returns the AUC of each run by label and seed."""
    return {
        (label, seed): value
        for label, model in models.items()
        if "auc" in model
        for seed, value in zip(model["seeds"], model["auc"]["values"], strict=True)
    }
