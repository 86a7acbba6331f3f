"""Pipeline of a run, written out, and its comparison with the one that the run is resumed by."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from lmn_tf.models import registry
from lmn_tf.specs.errors import UserError, short
from lmn_tf.specs.optimizer import with_path
from lmn_tf.specs.parts import metric
from lmn_tf.specs.pipeline_spec import PipelineSpec

PATH_KEYS = ("train", "valid", "test", "directory")
# Keys in which runs may differ, since they do not change the result.
FREE_KEYS = ("run_dir", "feature_spec", "train.checkpoint_steps", "train.tensorboard")


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


def continued(pipeline: PipelineSpec, stored: PipelineSpec) -> PipelineSpec:
    """Returns a pipeline with the settings from the warm start of a resumed run.

    Args:
        pipeline: `PipelineSpec` of the resumed run.
        stored: `PipelineSpec` in the run's directory.
    """
    settings = []
    if pipeline.warm_start is None and stored.warm_start is not None:
        settings.append(f"warm_start={json.dumps(stored.to_dict()['warm_start'])}")
    if stored.warm_start is not None and "open_keys" not in pipeline.model_options:
        opened = stored.model_options.get("open_keys")
        settings += [f"model.open_keys={opened}"] if opened is not None else []
    return pipeline.with_overrides(settings) if settings else pipeline


def check_same_document(file: Path, begun: dict, document: dict) -> None:
    """Raises a `UserError` if a document differs from that of the run, which is in `file`."""
    found = difference(begun, document, FREE_KEYS)
    if found is not None:
        key, before, now = found
        raise UserError(
            f"`{key}` must stay as in the run to be continued, {short(before)} in {file}. "
            f"Received: {key}={short(now)}. Take it back, or start a new run with another "
            "--run-dir."
        )


def difference(
    before: dict[str, Any], now: dict[str, Any], free: Collection[str] = ()
) -> tuple[str, Any, Any] | None:
    """Returns the first key in which two documents differ, with both values.

    Args:
        before: Nested mappings.
        now: Nested mappings.
        free: Dotted keys that may differ; those of `distribute` may in any case, since a run may
            continue on another number of devices. Defaults to `()`.

    Returns:
        Tuple of the dotted key and its values, `None` where it is missing; or `None` if there is no
        difference.

    Example:

    >>> difference({"model": {"name": "lmn"}}, {"model": {"name": "lmn", "top_k": 8}})
    ('model.top_k', None, 8)
    """
    before, now = _flat(before), _flat(now)
    for key in sorted(before.keys() | now.keys()):
        is_free = key in free or key.startswith("distribute.")
        if not is_free and before.get(key) != now.get(key):
            return key, before.get(key), now.get(key)
    return None


def _flat(value, path: str = "") -> dict:
    """Maps dotted keys to leaves; lists of named sections are keyed by the names."""
    if isinstance(value, dict) and value:
        items = value.items()
    elif _is_sections(value):
        items = ((item.get("name", index), item) for index, item in enumerate(value))
    else:
        return {path: list(value) if isinstance(value, tuple) else value}
    flat = {}
    for key, item in items:
        flat.update(_flat(item, f"{path}.{key}" if path else str(key)))
    return flat


def _is_sections(value) -> bool:
    is_list = isinstance(value, list | tuple) and len(value) > 0
    return is_list and all(isinstance(item, dict) for item in value)
