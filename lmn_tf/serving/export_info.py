"""Model, run and data of an export."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import os
import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lmn_tf import atomic_files
from lmn_tf.models import registry
from lmn_tf.version import __version__

INFO_FILE = "export.json"
INFO = "export_info"


@dataclasses.dataclass(frozen=True)
class ExportInfo:
    """What an export is of, for logs and for the headers of answers.

    Args:
        model: String. Name of the model, or path of its class.
        model_version: String. Digest of the weights: exports of equal weights have the same.
        run_id: String. The run that trained the model. Defaults to `None`: unknown.
        data_fingerprint: String. Digest of the files that it was trained on. Defaults to `None`:
            unknown.
        values: String. How the values of memories are stored. Defaults to `"float32"`.
        embeddings: String. How embedding tables are stored. Defaults to `"float32"`.
        created: String. Time in UTC, as in ISO 8601. Defaults to now.
        lmn_tf_version: String. Defaults to that of this package.
        tensorflow_version: String. Defaults to that which is installed.

    Example:

    >>> ExportInfo("lmn", "5f3a", run_id="market-09c1").run_id
    'market-09c1'
    """

    model: str
    model_version: str
    run_id: str | None = None
    data_fingerprint: str | None = None
    values: str = "float32"
    embeddings: str = "float32"
    created: str = dataclasses.field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )
    lmn_tf_version: str = __version__
    tensorflow_version: str = tf.__version__

    @classmethod
    def of(cls, model: keras.Model, **more: Any) -> ExportInfo:
        """Describes a model.

        Args:
            model: A built model of this package.
            **more: Other arguments of the class.
        """
        return cls(registry.name_of(type(model)), weights_digest(model), **more)

    def write(self, folder: str | os.PathLike) -> None:
        """Writes `export.json`."""
        atomic_files.write_json(pathlib.Path(folder) / INFO_FILE, dataclasses.asdict(self))

    def function(self) -> Any:
        """Returns the function of a SavedModel that tells it: no inputs, a text for each field.

        What is unknown is an empty text.
        """
        texts = {name: text or "" for name, text in dataclasses.asdict(self).items()}

        @tf.function(input_signature=[])
        def export_info():
            return {name: tf.constant(text) for name, text in texts.items()}

        return export_info.get_concrete_function()


def weights_digest(model: keras.Model) -> str:
    """Returns a digest of the weights of a model, in their order."""
    digest = hashlib.blake2b(digest_size=8)
    for variable in model.variables:
        values = np.ascontiguousarray(variable.numpy())
        digest.update(f"{values.dtype} {values.shape}".encode())
        digest.update(values.reshape(-1).view(np.uint8))
    return digest.hexdigest()
