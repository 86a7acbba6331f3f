"""Keras models with a memory, exported by Keras and served by TensorFlow alone."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.layers.memory.large_memory import LargeMemory
from lmn_tf.layers.memory.sparse_memory import SparseMemory

SERVE = """
import sys
import numpy as np
import tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
_, names = serve.structured_input_signature
data = np.load(sys.argv[2])
outputs = serve(**{name: tf.constant(data[str(names[name].shape[-1])]) for name in names})
assert "lmn_tf" not in sys.modules
np.testing.assert_allclose(next(iter(outputs.values())), data["want"], atol=1e-5)
"""


def large_memory():
    history, user = keras.Input((5, 8)), keras.Input((4,))
    outputs = LargeMemory(num_keys=8, top_k=4)(history, user)
    return keras.Model([history, user], keras.layers.Dense(1)(outputs))


def sparse_memory():
    tokens = keras.Input((5, 8))
    return keras.Model(tokens, keras.layers.Dense(1)(SparseMemory(num_keys=8, top_k=4)(tokens)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [large_memory, pytest.param(sparse_memory, marks=pytest.mark.slow)]
)
def test_tensorflow_serves_what_keras_exports(tmp_path, make):
    model = make()
    draw = np.random.default_rng(1)
    inputs = [draw.normal(size=(3, *one.shape[1:])).astype(np.float32) for one in model.inputs]
    arrays = {str(one.shape[-1]): one for one in inputs}
    want = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    np.savez(tmp_path / "data.npz", want=want, **arrays)
    model.export(tmp_path / "exported", verbose=False)
    command = [sys.executable, "-c", SERVE, tmp_path / "exported", tmp_path / "data.npz"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1500:]


@pytest.mark.parametrize("make", [large_memory, sparse_memory])
def test_saved_models_hold_kernels_that_every_server_has(tmp_path, make):
    tf.saved_model.save(make(), str(tmp_path / "saved"))
    found = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    functions = found.graph.as_graph_def().library.function
    assert not any("CSR" in node.op for one in functions for node in one.node_def)
    assert not any(one.attr["_XlaMustCompile"].b for one in functions)
