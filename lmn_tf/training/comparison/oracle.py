"""Best possible figures on the generated data of a comparison."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmn_tf.specs.pipeline_spec import PipelineSpec


def find_oracle(
    pipeline: PipelineSpec, earlier: Mapping[str, Any] | None, result: Mapping[str, Any]
) -> dict | None:
    """Returns the best possible figures on generated data, or `None` if they are not known.

    They are in `oracle.json` beside the data. Where that is missing, as on a machine that has the
    files of finished runs only, those of an earlier `comparison.json` are kept if its runs are the
    same: they have the same AUC, digit by digit, in all runs that both have.

    Args:
        pipeline: The `PipelineSpec` of the comparison.
        earlier: Content of the `comparison.json` from before the comparison was started again, or
            `None`.
        result: Content of the new one, with `models` and `curve`.
    """
    data = pipeline.data
    path = Path(data.directory or os.path.dirname(data.test or data.train)) / "oracle.json"
    if path.is_file():
        oracle = json.loads(path.read_text(encoding="utf-8"))
        return oracle.get("test" if data.test else "valid")
    try:
        kept, old = earlier["oracle"], _aucs(earlier)
    except (LookupError, TypeError, ValueError, AttributeError):  # there is none, or it is damaged
        return None
    new = _aucs(result)
    common = old.keys() & new.keys()
    is_same = common and all(old[key] == new[key] for key in common)
    return kept if is_same else None


def _aucs(result) -> dict[tuple, float]:
    """Returns the AUC of each run by value, label and seed."""
    points = (result.get("curve") or {}).get("points", ())
    models = [("", result["models"])]
    models += [(json.dumps(point["value"]), point["models"]) for point in points]
    return {
        (value, label, seed): auc
        for value, of_value in models
        for label, model in of_value.items()
        if model.get("auc") is not None
        for seed, auc in zip(model["seeds"], model["auc"]["values"], strict=True)
    }
