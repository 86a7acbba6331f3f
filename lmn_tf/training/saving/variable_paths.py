"""Stable names of variables."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

_NUMBERED = re.compile(r"^(.*?)(?:_(\d+))?$")


def stable_paths(paths: Sequence[str]) -> list[str]:
    """Renumbers the counters in names of Keras, so that equal models get equal paths.

    Keras numbers unnamed layers over the lifetime of a process: the second model of a process may
    have `dense_3` where the first has `dense_1`. Within each parent, names with the same stem are
    renumbered from zero in the order of their numbers. Repeated paths get `#2`, `#3`, ...

    Args:
        paths: The `path` of each variable of one model.

    Returns:
        List of unique paths, in the same order.

    Example:

    >>> stable_paths(["lmn_1/dense_4/kernel", "lmn_1/dense_7/kernel"])
    ['lmn/dense/kernel', 'lmn/dense_1/kernel']
    """
    numbers = defaultdict(set)
    for path in paths:
        for parent, stem, number in _components(path):
            numbers[parent, stem].add(number)
    ranks = {key: {n: i for i, n in enumerate(sorted(used))} for key, used in numbers.items()}
    renamed = []
    for path in paths:
        parts = []
        for parent, stem, number in _components(path):
            rank = ranks[parent, stem][number]
            parts.append(f"{stem}_{rank}" if rank else stem)
        renamed.append("/".join(parts))
    return _unique(renamed)


def keyed_variables(
    model: keras.Model, optimizer: keras.optimizers.Optimizer | None = None
) -> dict[str, keras.Variable]:
    """Returns every variable of a model and its optimizer under a stable key.

    Variables of the model (weights, normalization statistics, seed generators) have the key
    `model/PATH`. Slots of the optimizer have the key of their weight, `optimizer/PATH/SLOT`; its
    other variables are keyed by name.

    Args:
        model: A built `keras.Model`.
        optimizer: A built optimizer, or `None` for the variables of the model only. Defaults to
            `None`.

    Returns:
        Dictionary from key to `keras.Variable`, in the order of `model.variables`.
    """
    variables = list(model.variables)
    raw = [variable.path for variable in variables]
    paths = stable_paths(raw)
    keyed = {f"model/{path}": variable for path, variable in zip(paths, variables, strict=True)}
    if optimizer is None:
        return keyed
    owners = sorted(
        ((path.replace("/", "_"), stable) for path, stable in zip(raw, paths, strict=True)),
        key=lambda pair: -len(pair[0]),
    )
    names = []
    for variable in optimizer.variables:
        name = variable.path.split("/")[-1]
        owner = next((pair for pair in owners if name.startswith(pair[0] + "_")), None)
        if owner:
            name = f"{owner[1]}/{name[len(owner[0]) + 1 :]}"
        names.append(f"optimizer/{name}")
    keyed.update(zip(_unique(names), optimizer.variables, strict=True))
    return keyed


def _components(path: str):
    parts = path.split("/")
    for depth, part in enumerate(parts):
        stem, number = _NUMBERED.match(part).groups()
        # The parent keeps its number, which is part of its identity.
        yield "/".join(parts[:depth]), stem, int(number or -1)


def _unique(names: Sequence[str]) -> list[str]:
    counts = defaultdict(int)
    unique = []
    for name in names:
        counts[name] += 1
        unique.append(name if counts[name] == 1 else f"{name}#{counts[name]}")
    return unique
