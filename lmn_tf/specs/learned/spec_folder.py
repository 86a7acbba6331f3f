"""Folders with a feature spec and its learned assets."""

import os
import pathlib
from typing import Any

from lmn_tf import atomic_files
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.fingerprint import FINGERPRINT_FILE, write_fingerprint
from lmn_tf.specs.optimizer import with_path
from lmn_tf.specs.yaml import strict_yaml

SPEC_FILE = "feature_spec.yaml"


def resolved_spec(spec: FeatureSpec) -> tuple[dict[str, Any], dict[str, pathlib.Path]]:
    """Returns a feature spec as it is written to a folder.

    Args:
        spec: `FeatureSpec`.

    Returns:
        Pair: the spec as plain data whose vocabulary files are in `vocabularies/`, and which names
        optimizers of users by their paths; and a dictionary from these files to the original ones.
    """
    document = spec.to_dict()
    files = {}

    def relocate(written, column):
        vocabulary = (written.get("lookup") or {}).get("vocabulary")
        if isinstance(vocabulary, str):
            source = spec.base_dir / vocabulary
            path = f"vocabularies/{spec.lookup_key(column)}{source.suffix}"
            files[path] = source
            written["lookup"]["vocabulary"] = path

    for written, feature in zip(document["features"], spec.features, strict=True):
        relocate(written, feature)
    for part, sequence in zip(document.get("sequences", ()), spec.sequences, strict=True):
        for written, field in zip(part["fields"], sequence.fields, strict=True):
            if field.like is None:
                relocate(written, spec.resolved_field(sequence, field))
    for table in document["tables"].values():
        if "optimizer" in table:
            table["optimizer"] = with_path(table["optimizer"])
    return document, files


def write_spec(spec: FeatureSpec, folder: str | os.PathLike) -> None:
    """Writes `vocabularies/`, `statistics.json`, `fingerprints.json` and `feature_spec.yaml`.

    Each file is written atomically, in this order. `fingerprints.json` reveals later changes.

    Args:
        spec: `FeatureSpec` with learned assets.
        folder: Path of the folder, created if missing.
    """
    folder = pathlib.Path(folder)
    document, files = resolved_spec(spec)
    # Otherwise a process killed in between would leave new files with an old fingerprint.
    (folder / FINGERPRINT_FILE).unlink(missing_ok=True)
    spec.assets.save(folder)
    for path, source in files.items():
        with atomic_files.atomic_path(folder / path) as temporary:
            temporary.write_bytes(source.read_bytes())
    text = strict_yaml.dump(document)
    write_fingerprint(spec, folder, text)
    atomic_files.write_text(folder / SPEC_FILE, text)


def load_spec(folder: str | os.PathLike) -> FeatureSpec:
    """Reads a spec written by `write_spec`.

    Args:
        folder: Path of the folder.

    Returns:
        `FeatureSpec` with its assets.

    Raises:
        UserError: If a file is missing, has changed, or is outside of the folder.
    """
    return FeatureSpec.load(pathlib.Path(folder) / SPEC_FILE, learned=True)
