import keras
import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops import compile as compile_module
from lmn_tf.ops import is_compiling_with_xla, plain_kernels
from lmn_tf.ops.compile import (
    compiles_for_cpu,
    compiles_for_gpu,
    is_compiled_for_cpu,
    runs_sparse_products,
)
from lmn_tf.xla_flags import SELECT_K


def test_knows_every_mode():
    seen = {}

    def record(name):
        seen[name] = is_compiling_with_xla()
        return tf.constant(0)

    record("eager")
    tf.function(record)("graph")
    tf.function(record, jit_compile=True)("xla")
    inner = tf.function(record)
    inner("inner")
    tf.function(lambda: inner("nested"), jit_compile=True)()
    assert seen == {
        "eager": False,
        "graph": False,
        "xla": True,
        "inner": False,
        "nested": True,
    }


def test_plain_kernels_turn_off_what_is_tuned_for_cpus():
    assert compiles_for_cpu()
    assert runs_sparse_products(tf.float32)
    assert not runs_sparse_products(tf.bfloat16)
    with plain_kernels():
        with plain_kernels():
            assert not compiles_for_cpu()
        assert not compiles_for_cpu()
        assert not runs_sparse_products(tf.float32)
    assert compiles_for_cpu()


@pytest.mark.parametrize("how", ["export", "archive", "saved_model"])
def test_what_is_saved_is_traced_with_plain_kernels(tmp_path, monkeypatch, how):
    monkeypatch.setattr(compile_module, "has_gpu", lambda: False)

    @keras.saving.register_keras_serializable(package="test_compile")
    class Asks(keras.layers.Layer):
        def call(self, inputs):
            return inputs + (1.0 if compiles_for_cpu() else 0.0)

    inputs = keras.Input((2,))
    model = keras.Model(inputs, Asks()(inputs))
    zeros = tf.zeros((1, 2))
    if how == "export":
        model.export(tmp_path / "saved", verbose=False)
    elif how == "archive":
        archive = keras.export.ExportArchive()
        archive.add_endpoint("serve", model.call, [tf.TensorSpec((None, 2))])
        archive.write_out(tmp_path / "saved", verbose=False)
    else:
        tf.saved_model.save(model, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    assert np.max(next(iter(loaded(zeros).values()))) == 0
    assert np.min(model(zeros)) == np.min(model.predict(zeros, verbose=0)) == 1


def test_nothing_is_compiled_apart_inside_xla():
    seen = []
    tf.function(lambda: seen.append(compiles_for_cpu()), jit_compile=True)()
    assert seen == [False]


def test_knows_that_xla_compiles_for_a_cpu(monkeypatch):
    def answer(jit_compile=True):
        seen = []
        tf.function(lambda: seen.append(is_compiled_for_cpu()), jit_compile=jit_compile)()
        return seen[0]

    assert answer()
    assert not answer(jit_compile=False)
    with plain_kernels():
        assert not answer()
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["a GPU"])
    assert not answer()


def test_gpus_search_with_xla_where_its_kernels_are_on(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["a GPU"])
    assert not compiles_for_cpu()
    assert not compiles_for_gpu()
    monkeypatch.setenv("XLA_FLAGS", f"{SELECT_K}=false")
    assert not compiles_for_gpu()
    monkeypatch.setenv("XLA_FLAGS", f"{SELECT_K}=true")
    assert compiles_for_gpu()
    with plain_kernels():
        assert not compiles_for_gpu()
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    assert not compiles_for_gpu()
