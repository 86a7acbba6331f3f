"""Which keys a section at a path of a file may have: for the nearest names of misspelt ones."""

import dataclasses
import types
import typing


def known_keys(cls, path):
    """Returns the keys of the sections that can stand at `path` below the section `cls`.

    Example:

    >>> from lmn_tf.specs.feature import Feature
    >>> known_keys(Feature, ("lookup", "learn"))
    ['min_count', 'max_size']
    """
    kinds = [cls]
    for part in path:
        kinds = [below for kind in kinds for below in _step(kind, part)]
    sections = [kind for kind in kinds if dataclasses.is_dataclass(kind)]
    return list(dict.fromkeys(f.name for kind in sections for f in dataclasses.fields(kind)))


def _step(kind, part):
    """Returns the types that can stand at the key or index `part` of the type `kind`."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return _branches(hints[part]) if part in hints else []
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is dict:
        return _branches(args[1])
    if origin is tuple:
        items = [branch for arg in args if arg is not Ellipsis for branch in _branches(arg)]
        if isinstance(part, int):
            return items
        # A list that may be written as its only item, as a transform may.
        return [below for item in items for below in _step(item, part)]
    return []


def _branches(kind):
    """Returns the members of a union, unpacked."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _branches(args[0])
    if origin in (typing.Union, types.UnionType):
        return [branch for arg in args for branch in _branches(arg)]
    return [kind]
