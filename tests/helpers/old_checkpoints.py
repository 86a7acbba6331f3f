"""Checkpoints as they were before they became folders: a zip file of `.npy` files."""

import io
import json
import zipfile

import numpy as np

from lmn_tf.training.saving.checkpoints import read_arrays


def write_zip(path, values, state):
    """Writes a checkpoint in the form of before."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("state.json", json.dumps({"keys": list(values), "state": dict(state)}))
        for index, value in enumerate(values.values()):
            content = io.BytesIO()
            np.save(content, value, allow_pickle=False)
            archive.writestr(f"{index:06d}.npy", content.getvalue())


def to_zips(folder):
    """Rewrites all checkpoints of a folder in the form of before."""
    for path in [*folder.glob("step-*"), *folder.glob("best-*")]:
        values, state = read_arrays(path)
        if state.get("best_file"):
            state["best_file"] = state["best_file"].split(".")[0] + ".npz"
        write_zip(path.with_suffix(".npz"), values, state)
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
