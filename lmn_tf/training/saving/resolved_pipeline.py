"""Pipeline of a run, written out, and its comparison with the one that the run is resumed by."""

from __future__ import annotations

import os
from pathlib import Path

from lmn_tf.models import registry
from lmn_tf.specs.errors import UserError, short
from lmn_tf.specs.optimizer import with_path
from lmn_tf.specs.parts import metric
from lmn_tf.specs.pipeline_spec import PipelineSpec

PATH_KEYS = ("train", "valid", "test", "directory")
# Keys in which a resumed run may differ, since they do not change the result.
_FREE_KEYS = ("run_dir", "feature_spec", "train.checkpoint_steps", "train.tensorboard")


def resolved_pipeline(pipeline: PipelineSpec) -> dict:
    """Returns a pipeline as plain values, with absolute paths and the paths of parts of users."""
    document = pipeline.to_dict()
    document["model"]["name"] = registry.PARTS.written(pipeline.model_name)
    rules = document["train"]["optimizer"]
    document["train"]["optimizer"] = {key: with_path(rule) for key, rule in rules.items()}
    document["metrics"] = [metric.with_path(rule) for rule in document["metrics"]]
    data = dict(document["data"])
    for key in PATH_KEYS:
        if data.get(key):
            data[key] = os.path.abspath(data[key])
    document["data"] = data
    if document.get("warm_start"):
        run = os.path.abspath(document["warm_start"]["run"])
        document["warm_start"] = {**document["warm_start"], "run": run}
    document["feature_spec"] = "feature_spec.yaml"
    document["run_dir"] = os.path.abspath(document["run_dir"])
    return document


def check_same_document(file: Path, begun: dict, document: dict) -> None:
    """Raises a `UserError` if a document differs from that of the run, which is in `file`."""
    before, now = _flat(begun), _flat(document)
    for key in sorted(before.keys() | now.keys()):
        # A run may continue on another number of devices.
        is_free = key in _FREE_KEYS or key.startswith("distribute.")
        if is_free or before.get(key) == now.get(key):
            continue
        raise UserError(
            f"`{key}` must stay as in the run to be continued, {short(before.get(key))} in "
            f"{file}. Received: {key}={short(now.get(key))}. Take it back, or start a new run "
            "with another --run-dir."
        )


def _flat(value, path: str = "") -> dict:
    """Maps dotted keys to leaves; lists of named sections are keyed by the names."""
    if isinstance(value, dict) and value:
        items = value.items()
    elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        items = ((item.get("name", index), item) for index, item in enumerate(value))
    else:
        return {path: list(value) if isinstance(value, tuple) else value}
    flat = {}
    for key, item in items:
        flat.update(_flat(item, f"{path}.{key}" if path else str(key)))
    return flat
