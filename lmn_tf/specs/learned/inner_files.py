"""Checks that folders of unknown origin do not refer to files outside of them."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING

from lmn_tf.specs.errors import UserError, short

if TYPE_CHECKING:
    from lmn_tf.specs.feature_spec import FeatureSpec


def check_inner_files(folder: str | os.PathLike) -> None:
    """Checks that the files of a run or an export are not links out of its folder.

    Args:
        folder: Path of the folder, which may itself be a link.

    Raises:
        UserError: If `feature_spec.yaml`, `statistics.json`, `vocabularies/` or a file in it is
            outside of the folder.
    """
    folder = pathlib.Path(folder)
    vocabularies = folder / "vocabularies"
    names = (folder / "feature_spec.yaml", folder / "statistics.json", vocabularies)
    for path in (*names, *(vocabularies.glob("*") if is_inside(vocabularies, folder) else ())):
        if not is_inside(path, folder):
            raise UserError(
                f"the file must lie in the folder of its run or export. Received: a link to "
                f"{os.path.realpath(path)}",
                file=path,
            )


def check_inner_vocabularies(spec: FeatureSpec, folder: str | os.PathLike) -> None:
    """Checks that the spec of a run or an export names no vocabulary outside of its folder.

    Such a file would be read and copied into derived files. A spec written by the user may name
    files anywhere, but a run or an export holds copies of them.

    Args:
        spec: `FeatureSpec`.
        folder: Path of the run or the export.

    Raises:
        UserError: If a vocabulary is outside, by an absolute path, by `..` or by a link.
    """
    for column in spec.features_and_fields():
        vocabulary = None if column.lookup is None else column.lookup.vocabulary
        if isinstance(vocabulary, str) and not is_inside(pathlib.Path(folder) / vocabulary, folder):
            raise UserError(
                f"`vocabulary` of `{column.name}` must be a file in the folder of its run or "
                f"export. Received: vocabulary={short(vocabulary)}",
                file=pathlib.Path(folder) / "feature_spec.yaml",
            )


def is_inside(path: str | os.PathLike, folder: str | os.PathLike) -> bool:
    """Returns whether a path is in a folder, after following all links.

    Example:

    >>> is_inside("/a/b/../c.txt", "/a"), is_inside("/a/../b.txt", "/a")
    (True, False)
    """
    # Unlike `Path.resolve`, this accepts circular links.
    return pathlib.Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
