"""Which keys a section at a path of a file may have: for the nearest names of misspelt ones."""

import dataclasses
import types
import typing


def known_keys(cls, path, data=None):
    """Returns the keys of the sections that can stand at `path` below the section `cls`.

    Example:

    >>> from lmn_tf.specs.feature import Feature
    >>> known_keys(Feature, ("lookup", "learn"))
    ['min_count', 'max_size']
    """
    kinds = [cls]
    for part in path:
        below = []
        for kind in kinds:
            below.extend(_step(kind, part))
        kinds = below
    names = [f.name for kind in kinds if dataclasses.is_dataclass(kind) for f in dataclasses.fields(kind)]
    return list(dict.fromkeys(names))


def _step(kind, part):
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=False)
        return _branches(hints[part]) if part in hints else []
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and isinstance(part, int):
        return [branch for arg in args if arg is not Ellipsis for branch in _branches(arg)]
    if origin is tuple:  # a list that may be written as its only item
        return [found for arg in args if arg is not Ellipsis for b in _branches(arg) for found in _step(b, part)]
    if origin is dict:
        return _branches(args[1])
    return []


def _branches(kind):
    """Returns the members of a union, unpacked."""
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _branches(typing.get_args(kind)[0])
    if origin in (typing.Union, types.UnionType):
        return [branch for arg in typing.get_args(kind) for branch in _branches(arg)]
    return [kind]
