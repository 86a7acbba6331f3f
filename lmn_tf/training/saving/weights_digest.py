"""Digest of the weights of a run."""

import hashlib
import zipfile

from lmn_tf.training.saving.run_directory import RunDirectory


def weights_digest(directory: RunDirectory) -> str | None:
    """Returns a digest of the weights of a run, by the checksums that its files note.

    Weights are not read, so that it is quick. They are those of `model.keras`, or of the newest
    checkpoint of a run that has not ended.

    Args:
        directory: A `RunDirectory`.

    Returns:
        String; `None` if there are no weights, or the file is damaged.
    """
    if directory.model_file.exists():
        noted = _checksums(directory.model_file)
    else:
        states = sorted(directory.checkpoints.glob("step-*/state.json"))
        noted = states[-1].read_bytes() if states else None
    return hashlib.sha256(noted).hexdigest()[:16] if noted else None


def _checksums(path) -> bytes | None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except zipfile.BadZipFile:
        return None
    # The others hold the date and the names of layers.
    weights = [one for one in members if not one.filename.endswith(".json")]
    return repr([(one.filename, one.CRC, one.file_size) for one in weights]).encode()
