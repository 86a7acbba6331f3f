import datetime
import json

import numpy as np
import tensorflow as tf
from request_model import slim_lmn
from tiny_run import exported

from lmn_tf.serving.export_info import ExportInfo, weights_digest
from lmn_tf.version import __version__


def test_of_a_model():
    model, _ = slim_lmn()
    info = ExportInfo.of(model, run_id="market-09c1", values="int8")
    assert (info.model, info.run_id, info.values) == ("lmn", "market-09c1", "int8")
    assert info.data_fingerprint is None and info.lmn_tf_version == __version__
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(info.created)
    assert datetime.timedelta(0) <= age < datetime.timedelta(minutes=5)


def test_a_file_and_a_signature_tell_the_same():
    info = json.loads((exported() / "export.json").read_text())
    assert info["model"] == "lmn" and info["values"] == info["embeddings"] == "float32"
    assert info["run_id"] is None and info["tensorflow_version"] == tf.__version__
    loaded = tf.saved_model.load(str(exported() / "saved_model"))
    told = loaded.signatures["export_info"]()
    assert {name: text.numpy().decode() or None for name, text in told.items()} == info


def test_other_weights_are_another_version():
    model, _ = slim_lmn()
    digest, bias = weights_digest(model), model.head.trainable_variables[-1]
    assert digest == weights_digest(model) and len(digest) == 16
    before = bias.numpy()
    bias.assign(np.nextafter(before, np.float32(9)))
    assert weights_digest(model) != digest
    bias.assign(before)
    assert weights_digest(model) == digest
