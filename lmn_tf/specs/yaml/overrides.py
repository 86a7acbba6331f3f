"""`KEY=VALUE` settings that replace values of a spec."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from lmn_tf.specs.errors import UserError, did_you_mean, short
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.specs.yaml.section import known_keys

_Built = TypeVar("_Built")

# Mappings whose keys are options of the model or kind that this key names → key and its default.
_KINDS = {("model",): ("name", None), ("data", "synthetic"): ("kind", "market")}
_OPTIMIZERS = tuple(("train", "optimizer", part) for part in ("dense", "tables", "pairs"))


def apply(data: dict[str, Any], settings: Sequence[str], cls: type) -> dict[str, Any]:
    """Returns a copy of the plain `data` of the section `cls` with `settings` applied."""
    data = copy.deepcopy(data)
    for setting in settings:
        key, equals, text = setting.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            raise UserError(f"`--set` must be KEY=VALUE. Received: {short(setting)}")
        if len(parts) > strict_yaml.MAX_DEPTH:
            raise UserError(
                f"`--set` must name a key at most {strict_yaml.MAX_DEPTH} deep. "
                f"Received: {short(setting)}"
            )
        write(data, parts, _value(setting, text), cls)
    return data


def paths(settings: Sequence[str]) -> list[tuple[str, ...]]:
    """Returns the paths that `settings` write to, as tuples of keys.

    Example:

    >>> paths(["train.epochs=2"])
    [('train', 'epochs')]
    """
    return [tuple(setting.partition("=")[0].strip().split(".")) for setting in settings]


def _value(setting, text):
    try:
        value, _ = strict_yaml.loads(text)
    except UserError as error:
        raise UserError(f"`--set {setting}`: {error.message}") from None
    return value


def write(
    data: dict[str, Any], parts: Sequence[str], value: Any, cls: type, source: str = "--set "
) -> None:
    """Sets the value at a path of the plain data of a section, in place.

    Args:
        data: Mapping.
        parts: List of keys, the path.
        value: Plain value.
        cls: Class of the section.
        source: String before the path in messages. Defaults to `"--set "`.

    Raises:
        UserError: If a key is unknown, or is below a value that is not a mapping.
    """
    parent = data
    for depth, part in enumerate(parts):
        keys = known_keys(cls, parts[:depth])
        if keys and part not in keys:
            owner = f" in `{'.'.join(parts[:depth])}`" if depth else ""
            raise UserError(
                f"`{source}{'.'.join(parts)}`: unknown key `{part}`{owner}."
                f"{did_you_mean(part, keys)}"
            )
        if depth == len(parts) - 1:
            parent[part] = value
            return
        if parent.get(part) is None:
            parent[part] = {}
        parent = parent[part]
        if not isinstance(parent, dict):
            name = ".".join(parts[: depth + 1])
            raise UserError(
                f"`{source}{'.'.join(parts)}`: `{name}` must be a mapping to set a key in it."
                f" Received: {name}={short(parent)}"
            )


def merge(
    data: Mapping[str, Any], changes: Mapping[str, Any], path: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Returns a copy of the data of a pipeline with nested changes merged into it.

    Mappings are merged key by key. Other values are replaced, including lists as a whole; `null`
    unsets a value. Another model, optimizer or kind of generated data replaces the previous one as
    a whole, since their options differ.

    Args:
        data: Mapping.
        changes: Mapping.
        path: Tuple of keys. Path of both in the pipeline. Defaults to `()`.

    Example:

    >>> merge({"model": {"name": "lmn", "top_k": 8}}, {"model": {"top_k": 16}})
    {'model': {'name': 'lmn', 'top_k': 16}}
    >>> merge({"model": {"name": "lmn", "top_k": 8}}, {"model": {"name": "din"}})
    {'model': {'name': 'din'}}
    """
    merged = copy.deepcopy(data)
    for key, value in changes.items():
        below = (*path, key)
        if _merges(merged.get(key), value, below):
            merged[key] = merge(merged[key], value, below)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def replaced(
    data: Mapping[str, Any], changes: Mapping[str, Any], path: tuple[str, ...] = ()
) -> list[tuple[str, ...]]:
    """Returns the paths at which `merge` replaces values of `data` by values of `changes`.

    Args:
        data: Mapping.
        changes: Mapping.
        path: Tuple of keys. Path of both in the pipeline. Defaults to `()`.

    Example:

    >>> replaced({"train": {"epochs": 1}}, {"train": {"seed": 2}, "run_dir": "runs/a"})
    [('train', 'seed'), ('run_dir',)]
    """
    paths_replaced = []
    for key, value in changes.items():
        below = (*path, key)
        if _merges(data.get(key), value, below):
            paths_replaced += replaced(data[key], value, below)
        else:
            paths_replaced.append(below)
    return paths_replaced


def _merges(old, new, path):
    if not isinstance(old, dict) or not isinstance(new, dict):
        return False
    if path in _KINDS:
        key, default = _KINDS[path]
        kind = old.get(key, default)
        return new.get(key, kind) == kind
    return path not in _OPTIMIZERS or new.keys() <= old.keys()


def explained(settings: Sequence[str], build: Callable[[], _Built]) -> _Built:
    """Returns `build()`; the message of a `UserError` is prefixed with the settings."""
    try:
        return build()
    except UserError as error:
        named = " ".join(f"--set {setting}" for setting in settings)
        raise UserError(f"`{named}`: {error.message}" if named else error.message) from None
