import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.layers.memory.product_key_memory import ProductKeyMemory
from lmn_tf.ops.compile import compiles_for_cpu, plain_kernels
from lmn_tf.serving.parity import ExportError, check_parity, one_user_batches
from lmn_tf.specs.errors import UserError

ROWS = 40
DATASET = [{"x": np.arange(start, start + 10, dtype=np.float32)} for start in range(0, ROWS, 10)]
# What a model's driver tells of its batches: here histories are as they are.
DRIVER = types.SimpleNamespace(batches=types.SimpleNamespace(padded=lambda features: features))


class Model:
    """A model whose fast kernels add `step` to the logits of the rows in `turned`."""

    spec = types.SimpleNamespace(
        labels=[types.SimpleNamespace(name="click"), types.SimpleNamespace(name="buy")]
    )
    encoder = types.SimpleNamespace(
        signature=lambda padded: {"x": tf.TensorSpec([None], tf.float32)}
    )
    fit_driver = DRIVER

    def __init__(self, turned=(), step=0.01):
        self.turned = tf.constant(turned, tf.float32)
        self.step = step

    def __call__(self, features, training):
        x = tf.convert_to_tensor(features["x"])
        is_turned = tf.reduce_any(x[:, None] == self.turned[None, :], axis=1)
        step = self.step if compiles_for_cpu() else 0.0
        return tf.stack([x / 10, x / 20 + tf.where(is_turned, step, 0.0)], axis=1)


def served(change=None):
    def served(features):
        logits = np.stack([features["x"] / 10, features["x"] / 20], axis=1)
        if change is not None:
            change(features["x"], logits)
        return 1 / (1 + np.exp(-logits))

    return served


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr("lmn_tf.ops.compile.has_gpu", lambda: False)


def test_runs_of_rows_are_candidates_of_their_first_user(monkeypatch):
    monkeypatch.setattr("lmn_tf.serving.parity.CANDIDATES_OF_A_USER", 2)
    columns = {"user": ["who"], "candidates": ["item"], "events": ["h/item"], "pairs": ["h/gap"]}
    encoder = types.SimpleNamespace(request_signature=lambda: types.SimpleNamespace(**columns))
    spec = types.SimpleNamespace(sequences=[types.SimpleNamespace(name="h")])
    rows = {"who": [1, 2, 3], "item": [7, 8, 9], "h/first": [0, 1, 3], "h/length": [2, 2, 1]}
    rows |= {"h/item": [50, 51, 52, 53], "h/gap": [10, 11, 12, 13, 14]}
    rows = {key: np.array(values, np.int32) for key, values in rows.items()}
    [batch] = one_user_batches(types.SimpleNamespace(encoder=encoder, spec=spec), [rows])
    assert {key: values.numpy().tolist() for key, values in batch.items()} == {
        "who": [1, 1, 3],
        "item": [7, 8, 9],
        "h/first": [0, 0, 2],
        "h/length": [2, 2, 1],
        "h/item": [50, 51, 53],
        "h/gap": [10, 11, 10, 11, 14],
    }


def test_equal_models():
    report = check_parity(Model(), served(), DATASET, 1e-5)
    assert report.pop("largest_difference") < 1e-6 and report.pop("mean_difference") < 1e-6
    assert report == {"rows": ROWS, "rows_rounded": 0}


def test_rows_in_which_kernels_break_a_tie_otherwise_are_counted():
    report = check_parity(Model(turned=[3, 25]), served(), DATASET, 1e-5)
    assert report["rows_rounded"] == 2 and 1e-3 < report["largest_difference"] < 3e-3


def test_kernels_that_disagree_on_many_rows_are_refused():
    match = "difference of 0.0025 in row 1 .* differences in 3 of 40 rows"
    with pytest.raises(ExportError, match=match):
        check_parity(Model(turned=[0, 1, 2]), served(), DATASET, 1e-5)


def wrong(x, logits):
    logits[x == 13, 1] += 0.1


def test_a_single_wrong_row_is_told():
    match = (
        r"within 1e-05. Received: a difference of 0.0222 in row 14 \(`buy` 0.657\d+, exported "
        r"0.679\d+\), differences in 1 of 40 rows. .* larger `tolerance`"
    )
    with pytest.raises(ExportError, match=match):
        check_parity(Model(), served(wrong), DATASET, 1e-5)


@pytest.mark.parametrize("tolerance", [0.003, 0.02])
def test_a_difference_little_above_the_tolerance_is_refused(tolerance):
    message = f"within {tolerance:g}. Received: a difference of 0.0222"
    with pytest.raises(ExportError, match=message):
        check_parity(Model(), served(wrong), DATASET, tolerance)


def test_a_larger_tolerance_lets_it_pass():
    report = check_parity(Model(), served(wrong), DATASET, 0.03)
    assert report["rows_rounded"] == 0 and 0.02 < report["largest_difference"] < 0.03


def test_not_a_number_is_a_difference():
    def nan(x, logits):
        logits[x == 5] = np.nan

    with pytest.raises(ExportError, match="a difference of inf in row 6 .* exported nan"):
        check_parity(Model(), served(nan), DATASET, 0.9)


def test_no_rows_cannot_be_compared():
    with pytest.raises(ExportError, match="must be compared on real rows. Received: no row"):
        check_parity(Model(), served(), [], 1e-5)


def test_a_model_that_has_diverged_is_refused():
    message = r"must give finite probabilities: its training has diverged. .*nan\] in row 4"
    with pytest.raises(ExportError, match=message):
        check_parity(Model(turned=[3, 25], step=np.nan), served(), DATASET, 1e-5)


class RoundedMemory(ProductKeyMemory):
    """A memory with two row keys that fit every query equally well, up to rounding.

    Which of them fits better is other on the kernels of exports, as it may be on any machine.
    """

    twins = 6, 7

    def build(self, input_shape):
        super().build(input_shape)
        keys = self.row_keys.numpy()
        step = np.random.default_rng(1).choice([-1, 0, 1], 32) * np.float32(2**-23)
        self.step = np.zeros_like(keys)
        keys[0, self.twins[1]] = keys[0, self.twins[0]]
        self.step[0, self.twins[1]] = keys[0, self.twins[0]] * step
        self.row_keys.assign(keys)

    def scored_keys(self):
        row_keys, column_keys = super().scored_keys()
        return row_keys + (self.step if compiles_for_cpu() else -self.step), column_keys


class MemoryModel:
    """A model of a memory alone."""

    spec = types.SimpleNamespace(labels=[types.SimpleNamespace(name="click")])
    encoder = types.SimpleNamespace(
        signature=lambda padded: {"x": tf.TensorSpec([None, 32], tf.float32)}
    )
    fit_driver = DRIVER

    def __init__(self):
        keras.utils.set_random_seed(1)
        self.memory = RoundedMemory(num_keys=48, top_k=2, query_norm="none", key_norm=False)
        self.memory.build((None, 32))

    def __call__(self, features, training):
        return tf.reduce_sum(self.memory(features["x"], training=training), axis=1, keepdims=True)

    def exported(self, folder):
        """Function of features that a SavedModel of the model gives."""
        module = tf.Module()
        module.model_variables = [variable.value for variable in self.memory.variables]

        @tf.function
        def serve(x):
            return {"click": tf.sigmoid(self({"x": x}, training=False))}

        with plain_kernels():
            serve = serve.get_concrete_function(x=tf.TensorSpec([None, 32], tf.float32))
        tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
        loaded = tf.saved_model.load(str(folder))
        return lambda features: loaded.signatures["serving_default"](**features)["click"].numpy()


def test_a_memory_whose_kernels_choose_other_slots_by_rounding(tmp_path):
    draw = np.random.default_rng(1)
    dataset = [{"x": tf.constant(draw.normal(size=(512, 32)), tf.float32)} for _ in range(8)]
    model = MemoryModel()
    served = model.exported(tmp_path)
    report = check_parity(model, served, dataset, 1e-5)
    assert report["rows_rounded"] > 0 and report["largest_difference"] > 1e-3
    # A value that only rows with such a tie read: what is wrong is no rounding.
    values = model.memory.memory_values.numpy()
    wrong = values.reshape(48, 48, 32)
    wrong[list(RoundedMemory.twins)] += 0.01
    model.memory.memory_values.assign(wrong.reshape(values.shape))
    with pytest.raises(ExportError, match="must score like the model, within 1e-05"):
        check_parity(model, served, dataset, 1e-5)


def test_it_is_no_mistake_of_the_user():
    with pytest.raises(RuntimeError, match="stored twice") as caught:
        raise ExportError("stored twice")
    assert not isinstance(caught.value, UserError)
