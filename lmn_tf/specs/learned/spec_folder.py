"""A feature spec in a folder of its own, with all that it needs to give ids their meaning."""

import os
import pathlib
from typing import Any

from lmn_tf import atomic_files
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.fingerprint import FINGERPRINT_FILE, write_fingerprint
from lmn_tf.specs.yaml import strict_yaml

SPEC_FILE = "feature_spec.yaml"


def resolved_spec(spec: FeatureSpec) -> tuple[dict[str, Any], dict[str, pathlib.Path]]:
    """Returns a feature spec as it stands in a folder of its own.

    Args:
        spec: `FeatureSpec`.

    Returns:
        Pair: the spec as plain data whose vocabulary files lie in `vocabularies/`, and a
        dictionary from the path there to the file that is read now.
    """
    document = spec.to_dict()
    files = {}

    def relocate(written, column):
        given = (written.get("lookup") or {}).get("vocabulary")
        if isinstance(given, str):
            source = spec.base_dir / given
            path = f"vocabularies/{spec.lookup_key(column)}{source.suffix}"
            files[path] = source
            written["lookup"]["vocabulary"] = path

    for written, feature in zip(document["features"], spec.features, strict=True):
        relocate(written, feature)
    for part, sequence in zip(document.get("sequences", ()), spec.sequences, strict=True):
        for written, field in zip(part["fields"], sequence.fields, strict=True):
            if field.like is None:
                relocate(written, spec.resolved_field(sequence, field))
    return document, files


def write_spec(spec: FeatureSpec, folder: str | os.PathLike) -> None:
    """Writes `vocabularies/`, `statistics.json` and, last, `feature_spec.yaml`, each file whole.

    Before the last comes `fingerprints.json`, which tells whether they are still what was written.

    Args:
        spec: `FeatureSpec` with its assets learned.
        folder: Path. The folder to write to, made when absent.
    """
    folder = pathlib.Path(folder)
    document, files = resolved_spec(spec)
    # Else a process that is killed in between would leave new files with an old fingerprint.
    (folder / FINGERPRINT_FILE).unlink(missing_ok=True)
    spec.assets.save(folder)
    for path, source in files.items():
        with atomic_files.atomic_path(folder / path) as temporary:
            temporary.write_bytes(source.read_bytes())
    text = strict_yaml.dump(document)
    write_fingerprint(spec, folder, text)
    atomic_files.write_text(folder / SPEC_FILE, text)


def load_spec(folder: str | os.PathLike) -> FeatureSpec:
    """Reads what `write_spec` wrote.

    Args:
        folder: Path. The folder.

    Returns:
        `FeatureSpec` with its assets.

    Raises:
        UserError: when a file is missing, not what was written or outside of the folder.
    """
    return FeatureSpec.load(pathlib.Path(folder) / SPEC_FILE, learned=True)
