"""`KEY=VALUE` settings that replace values of a spec."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from lmn_tf.specs.errors import UserError, did_you_mean, short
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.specs.yaml.section import known_keys

_Built = TypeVar("_Built")

# Mappings whose other keys are options of the one that this key names, or that it is left at.
_KINDS = {("model",): ("name", None), ("data", "synthetic"): ("kind", "market")}
_OPTIMIZERS = (("train", "optimizer", "dense"), ("train", "optimizer", "tables"))


def apply(data: dict[str, Any], settings: Sequence[str], cls: type) -> dict[str, Any]:
    """Returns a copy of plain `data` of the section `cls` with `settings` written into it."""
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
    """Writes `value` to the path `parts` of the plain `data` of the section `cls`, in place.

    Args:
        data: Mapping.
        parts: List of keys.
        value: Plain value.
        cls: The section.
        source: String in front of the path in messages. Defaults to `"--set "`.

    Raises:
        UserError: when a key is unknown (with the nearest one) or stands below a plain value.
    """
    place = data
    for depth, part in enumerate(parts):
        keys = known_keys(cls, parts[:depth])
        if keys and part not in keys:
            owner = f" in `{'.'.join(parts[:depth])}`" if depth else ""
            raise UserError(
                f"`{source}{'.'.join(parts)}`: unknown key `{part}`{owner}."
                f"{did_you_mean(part, keys)}"
            )
        if depth == len(parts) - 1:
            place[part] = value
            return
        if place.get(part) is None:
            place[part] = {}
        place = place[part]
        if not isinstance(place, dict):
            name = ".".join(parts[: depth + 1])
            raise UserError(
                f"`{source}{'.'.join(parts)}`: `{name}` must be a mapping to set a key in it."
                f" Received: {name}={short(place)}"
            )


def merge(
    data: Mapping[str, Any], changes: Mapping[str, Any], path: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Returns a copy of `data` of a pipeline with the nested mapping `changes` written over it.

    Mappings are merged key by key. All else is replaced: a list as a whole, too, and a value by
    `null`. A model, an optimizer and a kind of generated data are replaced by another one as a
    whole, since its options are not theirs.

    Args:
        data: Mapping.
        changes: Mapping.
        path: Tuple of keys. Where both stand in the pipeline. Defaults to `()`.

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
    """Returns the paths at which `merge` puts a value of `changes` in the place of what was there.

    Args:
        data: Mapping.
        changes: Mapping.
        path: Tuple of keys. Where both stand in the pipeline. Defaults to `()`.

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
    """Returns `build()`; a `UserError` from it is told to come from `settings`."""
    try:
        return build()
    except UserError as error:
        named = " ".join(f"--set {setting}" for setting in settings)
        raise UserError(f"`{named}`: {error.message}" if named else error.message) from None
