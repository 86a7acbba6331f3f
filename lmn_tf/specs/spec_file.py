"""YAML files of any kind."""

from __future__ import annotations

import importlib
import os
import pathlib
from typing import TYPE_CHECKING

from lmn_tf.specs.errors import UserError, nearest
from lmn_tf.specs.yaml import strict_yaml

if TYPE_CHECKING:
    from lmn_tf.specs.yaml.document import Document
    from lmn_tf.specs.yaml.strict_yaml import Marks

# Key that determines the kind → name of the kind, and its class.
KINDS = {
    "spec_version": ("feature spec", "lmn_tf.specs.feature_spec:FeatureSpec"),
    "pipeline_version": ("pipeline", "lmn_tf.specs.pipeline_spec:PipelineSpec"),
    "comparison_version": ("comparison", "lmn_tf.specs.comparison_spec:ComparisonSpec"),
}


def load(path: str | os.PathLike) -> tuple[str, Document, Marks | None]:
    """Returns the kind (`"feature spec"`, `"pipeline"`, `"comparison"`), the spec and its `Marks`.

    Args:
        path: Path of a YAML file. A key, such as `spec_version`, determines its kind.

    Raises:
        UserError: With file and line, for the first mistake in it.
    """
    path = pathlib.Path(path)
    data, marks = strict_yaml.load(path)
    if data is None:
        raise UserError("file must not be empty.", file=path)
    if not isinstance(data, dict):
        raise UserError("file must hold a mapping.", file=path, line=marks.line(()))
    key = next((key for key in data if key in KINDS), None)
    if key is None:
        raise _no_kind(path, data, marks)
    name, class_path = KINDS[key]
    module, _, class_name = class_path.partition(":")
    cls = getattr(importlib.import_module(module), class_name)
    spec = cls.from_dict(data, base_dir=path.parent, file=path, marks=marks)
    return name, spec, spec.source[1]


def _no_kind(path, data, marks):
    keys = ", ".join(f"`{key}`" for key in KINDS)
    for key in data:
        near = nearest(key, KINDS)
        if near is not None:
            return UserError(
                f"unknown key `{key}`. Did you mean `{near}`?", file=path, line=marks.line((key,))
            )
    received = ", ".join(list(data)[:6]) or "nothing"
    return UserError(f"file must have one of {keys}. Received: {received}", file=path)
