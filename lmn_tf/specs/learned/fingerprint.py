"""Fingerprints of the ids and numbers that a spec gives to values."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lmn_tf import atomic_files
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.learned.assets import json_value, read_json

if TYPE_CHECKING:
    from lmn_tf.specs.feature_spec import FeatureSpec

FINGERPRINT_FILE = "fingerprints.json"
_SPEC = "content/feature_spec.yaml"


def fingerprint(spec: FeatureSpec) -> dict[str, str]:
    """Returns short texts that determine the ids and transformed numbers of values.

    Args:
        spec: `FeatureSpec`. Assets that have not been learned yet are omitted.

    Returns:
        Dictionary. `vocabulary/KEY` is a digest of the values of a vocabulary, in their order, and
        `statistics/KEY` one of learned statistics. `size/KEY` is the number of ids of a column
        without a vocabulary. `reading/text` is the rule by which CSV cells are mapped to ids.

    Example:

    >>> from lmn_tf.specs.feature_spec import FeatureSpec
    >>> spec = FeatureSpec.from_dict({
    ...     "spec_version": 1, "name": "tiny", "labels": [{"name": "click"}],
    ...     "features": [{"name": "hour", "role": "context", "kind": "categorical",
    ...                   "lookup": {"identity": 24}}]})
    >>> fingerprint(spec)
    {'reading/text': 'exact', 'size/hour': '26'}
    """
    parts = {"reading/text": "exact" if spec.assets.text_ids else "guessed"}
    for column in spec.features_and_fields():
        lookup, statistics = column.lookup, spec.assets.statistics.get(column.key)
        if column.needs_statistics and statistics is not None:
            figures = {key: value for key, value in statistics.items() if key != "learned"}
            parts[f"statistics/{column.key}"] = _digest(figures)
        if lookup is not None and lookup.method in ("vocabulary", "learn"):
            key = spec.lookup_key(column)
            is_known = lookup.vocabulary is not None or key in spec.assets.vocabularies
            if is_known and f"vocabulary/{key}" not in parts:
                parts[f"vocabulary/{key}"] = _digest(
                    [str(value) for value in spec.vocabulary(column)]
                )
        elif column.has_ids:
            parts[f"size/{column.key}"] = str(spec.input_size(column))
    return parts


def difference(noted: Mapping[str, str], other: Mapping[str, str]) -> str | None:
    """Returns the first key of `noted` whose text differs in `other`, or `None`.

    Args:
        noted: Dictionary returned by `fingerprint`.
        other: The same for another spec. Missing keys count as different.
    """
    return next((key for key in sorted(noted) if other.get(key) != noted[key]), None)


def check_same(built: Mapping[str, str], met: Mapping[str, str], what: str) -> None:
    """Raises a `UserError` if data have other ids or numbers than a model was built with.

    Args:
        built: Dictionary returned by `fingerprint`; empty for models of versions without it.
        met: The same for the spec of the data. Keys that either lacks are not compared.
        what: String. Name of the data in messages.
    """
    changed = difference({key: built[key] for key in built if key in met}, met)
    if changed is not None:
        part, _, key = changed.partition("/")
        part = {"size": "number of ids"}.get(part, part)
        raise UserError(
            f"{what} must have the {part} of `{key}` that the model was built with. Received: "
            "another one. Load the spec of the model's run, as by "
            'FeatureSpec.load("RUN_DIR/feature_spec.yaml").'
        )


def write_fingerprint(spec: FeatureSpec, folder: str | os.PathLike, text: str) -> None:
    """Writes the fingerprint of a spec beside its files.

    Args:
        spec: `FeatureSpec`.
        folder: Path of the folder.
        text: String. Content of `feature_spec.yaml`.
    """
    noted = {**fingerprint(spec), _SPEC: _digest(text)}
    atomic_files.write_json(pathlib.Path(folder) / FINGERPRINT_FILE, noted)


def check_fingerprint(spec: FeatureSpec, folder: str | os.PathLike) -> None:
    """Raises a `UserError` if the files of a spec have changed since they were written.

    Args:
        spec: `FeatureSpec` with the assets read from the folder.
        folder: Path of the folder. Folders of versions without fingerprints pass.
    """
    path = pathlib.Path(folder) / FINGERPRINT_FILE
    if not path.exists():
        return
    noted = read_json(path)
    if not isinstance(noted, dict):
        raise UserError("the file must hold a mapping.", file=path)
    text = path.with_name("feature_spec.yaml").read_text(encoding="utf-8")
    changed = difference(noted, {**fingerprint(spec), _SPEC: _digest(text)})
    if changed is not None:
        part, _, key = changed.partition("/")
        raise UserError(
            f"the {part} of `{key}` must be as it was written, since the ids and numbers of a "
            f"model follow from it. Received: another one than in {FINGERPRINT_FILE}. Take the "
            f"file back from a copy, or remove {FINGERPRINT_FILE} if it was meant to change.",
            file=_file_of(part, key, path.parent),
        )


def _file_of(part, key, folder):
    if part == "vocabulary":
        paths = sorted((folder / "vocabularies").glob(f"{key}.*"))
        return paths[0] if paths else folder / "vocabularies" / f"{key}.txt"
    return folder / (
        "statistics.json" if part in ("statistics", "reading") else "feature_spec.yaml"
    )


def _digest(value):
    text = json.dumps(value, sort_keys=True, default=json_value)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
