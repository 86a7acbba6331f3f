"""Pipelines that inherit the keys of another one."""

import os
from typing import Any, NamedTuple

from lmn_tf.specs.errors import UserError, short
from lmn_tf.specs.yaml import overrides, strict_yaml
from lmn_tf.specs.yaml.section import Problem, expanded, path_beside, version_one
from lmn_tf.specs.yaml.strict_yaml import Marks

_VERSIONS = {"spec_version": "a feature spec", "comparison_version": "a comparison"}


class _Layer(NamedTuple):
    """A file in the chain from a pipeline to its last base."""

    data: Any
    marks: Marks
    file: Any
    folder: Any

    @property
    def base(self):
        """The value of `base` in the file, or `None`."""
        return self.data.get("base") if isinstance(self.data, dict) else None

    def error(self, message, *path):
        return UserError(message, *self.marks.location(path, self.file))

    def expanded(self, key):
        try:
            return expanded(self.data[key])
        except Problem as problem:
            raise self.error(f"`{key}` {problem.message}", key) from None


def inherited(
    data: Any,
    base_dir: str | os.PathLike = ".",
    file: str | os.PathLike | None = None,
    marks: Marks | None = None,
) -> tuple[Any, Marks | None]:
    """Returns the data of a pipeline with the keys inherited from its `base`.

    Args:
        data: Content of the file. Without a `base` it is returned unchanged.
        base_dir: Folder that `base` is relative to. Defaults to `"."`.
        file: Path of the file, for messages. Defaults to `None`.
        marks: `Marks` of the data. Defaults to `None`.

    Returns:
        Pair of the data without `base`, and their `Marks`, which know the file of each line.

    Raises:
        UserError: With file and line, if a base is not a pipeline, or refers back to a previous
            file.
    """
    layers = [_Layer(data, Marks() if marks is None else marks, file, base_dir)]
    while layers[-1].base is not None:
        layers.append(_base_of(layers))
    if len(layers) == 1:
        return data, marks
    lowest = layers.pop()
    while layers:
        lowest = _over(lowest, layers.pop())
    return lowest.data, lowest.marks


def _base_of(layers):
    """Reads the base of the last of `layers`."""
    owner = layers[-1]
    if not _is_text(owner.base):
        raise owner.error(f"`base` must be text. Received: base={short(owner.base)}", "base")
    base = owner.expanded("base")
    path = path_beside(owner.folder, base)
    if not os.path.isfile(path):
        raise owner.error(
            f"`base` must be the path of a pipeline. Received: base={short(base)}, "
            f"{strict_yaml.no_file(path)}",
            "base",
        )
    files = [str(layer.file) for layer in layers if layer.file is not None]
    if os.path.realpath(path) in map(os.path.realpath, files):
        raise owner.error(
            "`base` must not lead back to where it came from. "
            f"Received: {' → '.join([*files, str(path)])}",
            "base",
        )
    if len(layers) > strict_yaml.MAX_DEPTH:
        raise owner.error(f"`base` must be nested at most {strict_yaml.MAX_DEPTH} deep.", "base")
    layer = _Layer(*strict_yaml.load(path), path, path.parent)
    _check_kind(layer, owner, base)
    return layer


def _is_text(value):
    try:
        return isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:  # half a character
        return False


def _check_kind(layer, owner, base):
    data = layer.data if isinstance(layer.data, dict) else {}
    if "pipeline_version" not in data:
        kinds = [kind for key, kind in _VERSIONS.items() if key in data]
        kind = kinds[0] if kinds else "which has no `pipeline_version`"
        raise owner.error(
            f"`base` must be the path of a pipeline. Received: base={short(base)}, {kind}", "base"
        )
    try:
        version_one(data["pipeline_version"])
    except Problem as problem:
        message = f"`pipeline_version` {problem.message}"
        raise layer.error(message, "pipeline_version") from None


def _over(base, own):
    """Returns the layer `own`, with the keys of `base` that it does not override."""
    below = {key: value for key, value in base.data.items() if key != "pipeline_version"}
    folder = os.path.dirname(own.expanded("base"))
    if folder and isinstance(below.get("feature_spec"), str):
        below["feature_spec"] = os.path.join(folder, base.expanded("feature_spec"))
    above = {key: value for key, value in own.data.items() if key != "base"}
    replaced = overrides.replaced(below, above)
    lines = {**base.marks.without(replaced), (): None, **own.marks}
    files = {
        path: base.marks.location(path, base.file)[0]
        for path, line in lines.items()
        if line is not None and path not in own.marks
    }
    return own._replace(data=overrides.merge(below, above), marks=Marks(lines, files))
