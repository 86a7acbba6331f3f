"""A run on several replicas goes as one on a single device, wherever its tables lie."""

import contextlib
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import KITCHEN_SINK, random_features, random_labels, slim_spec
from replicas import replicas

from lmn_tf.distribute.tables.sharded_table import ShardedTable
from lmn_tf.models import LMN, Pooling
from lmn_tf.models.base.memory_plugin import MemoryPlugin
from lmn_tf.optimizers import LossScaleOptimizer, from_spec

# Of the last batch of each epoch some replicas get less than others, or nothing.
ROWS, BATCH, EPOCHS = 114, 12, 5
OPTIONS = {"hidden_units": (8,), "num_keys": 12, "top_k": 4}


@keras.saving.register_keras_serializable(package="lmn_tf_tests")
class Tiny(MemoryPlugin, Pooling):
    """A model with a memory that is quick to trace."""


def spec_with(placement):
    """The slim spec with an item table large enough to be split."""
    features = [
        dict(one) for one in KITCHEN_SINK["features"] if one["name"] in ("user", "item", "tags")
    ]
    features[1]["lookup"] = {"identity": 300}
    tables = {name: dict(KITCHEN_SINK["tables"][name]) for name in ("item", "tag")}
    tables["item"].update(placement=placement, regularizer=0.01)
    return slim_spec(features=features, tables=tables)


class Losses(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.found = []

    def on_train_batch_end(self, batch, logs=None):
        self.found.append(logs["loss"])


def train(
    count,
    placement,
    tables,
    clip_norm=None,
    policy="float32",
    model=Tiny,
    scale=None,
    epochs=EPOCHS,
    **options,
):
    """Losses of all steps, the whole variables at the end, the model and its rows."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(1)
    spec = spec_with(placement)
    strategy = replicas(count) if count > 1 else None
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = model(spec, memory_placement=placement, **{**OPTIONS, **options})
        optimizer = from_spec({"dense": {"sgd": 0.1}, "tables": tables}, clip_norm=clip_norm)
        if scale is not None:
            optimizer = LossScaleOptimizer(optimizer, initial_scale=scale)
        model.compile(optimizer)
        model.build()
        model.optimizer.build(model.trainable_variables)
    keras.config.set_dtype_policy(before)
    features, labels = random_features(spec, rows=ROWS), random_labels(ROWS)
    features["item"] = np.random.default_rng(0).integers(0, 300, ROWS).astype("int32")
    dataset = tf.data.Dataset.from_tensor_slices((features, labels)).batch(BATCH)
    losses = Losses()
    model.fit(dataset, epochs=epochs, verbose=0, callbacks=[losses])
    variables = [*model.variables, *model.optimizer.variables]
    return losses.found, [np.array(one) for one in variables], model, dataset


def check_alike(one, other, rtol=1e-4, atol=3e-4):
    np.testing.assert_allclose(other[0], one[0], rtol=rtol)
    for want, found, variable in zip(one[1], other[1], one[2].variables, strict=False):
        if variable.dtype == "float32":
            np.testing.assert_allclose(found, want, rtol=rtol, atol=atol, err_msg=variable.path)


def sharded(model):
    return [one for one in model.trainable_weights if isinstance(one, ShardedTable)]


ADAGRAD = {"row_wise_adagrad": 0.05}
OPTIMIZERS = [ADAGRAD, {"row_wise_adam": 0.01}, {"sparse_adagrad": {"learning_rate": 0.05}}]


@functools.cache
def clipped(count, scale=None):
    return train(count, "row_wise", ADAGRAD, clip_norm=0.1, scale=scale, epochs=2)


def test_replicas_with_shards_train_as_one_device():
    # The gradients of shards and of replicated tables are clipped by one norm.
    one, two = clipped(1), clipped(2)
    assert sharded(one[2]) == []
    assert [tuple(table.shape) for table in sharded(two[2])] == [(302, 6), (144, 9)]
    check_alike(one, two)


@pytest.mark.slow
def test_loss_scaling_over_replicas_changes_no_bit():
    # In float32 a power of two scales without rounding: what is left is whether the loss of each
    # replica is scaled, and every gradient unscaled once, before the clip.
    plain, scaled = clipped(2), clipped(2, scale=2.0**12)
    assert float(tf.convert_to_tensor(scaled[2].optimizer.dynamic_scale)) == 2.0**12
    np.testing.assert_array_equal(scaled[0], plain[0])
    names = [variable.path for variable in plain[2].variables]
    for name, found, want in zip(names, scaled[1], plain[1], strict=False):
        np.testing.assert_array_equal(found, want, err_msg=name)


@pytest.mark.slow
def test_replicas_with_shards_evaluate_and_predict_as_one_device():
    # After some 40 steps the rounding of replicas chooses another slot here and there.
    one, two = (train(count, "row_wise", ADAGRAD, epochs=3) for count in (1, 3))
    results = [run[2].evaluate(run[3], verbose=0, return_dict=True) for run in (one, two)]
    assert results[1] == pytest.approx(results[0], rel=1e-3)
    usage = [run[2].memory_usage()["clicks"] for run in (one, two)]
    assert usage[1] == pytest.approx(usage[0], rel=1e-3)
    features = random_features(one[2].spec, rows=9)
    np.testing.assert_allclose(
        two[2].predict(features, verbose=0), one[2].predict(features, verbose=0), atol=1e-4
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.slow
def test_mixed_precision(policy):
    # Accumulators that start above 0: others make whole steps of the rounding of halves.
    one, two = (train(count, "row_wise", OPTIMIZERS[2], policy=policy) for count in (1, 2))
    assert len(sharded(two[2])) == 2
    # Sums of halves depend on how many replicas they are made of, and which slots are best on them:
    # only the first steps are the same to more than their precision. Later ones say nothing: on one
    # device alone, weights that start a millionth apart lead to losses 15 per cent apart.
    np.testing.assert_allclose(two[0][:3], one[0][:3], rtol=0.005)
    first, *_, last = zip(one[0][9::10], two[0][9::10], strict=True)  # means over epochs
    np.testing.assert_allclose(first, first[0], rtol=0.05)
    assert max(last) < 0.5 * min(first)
    if policy == "mixed_float16":  # Both met the same overflows.
        scales = [tf.convert_to_tensor(run[2].optimizer.dynamic_scale) for run in (one, two)]
        assert float(scales[0]) == float(scales[1]) < 32768.0


@pytest.mark.parametrize("tables", OPTIMIZERS)
@pytest.mark.parametrize("placement", ["replicated", "row_wise"])
@pytest.mark.slow
def test_each_optimizer(tables, placement):
    runs = [train(count, placement, tables, clip_norm=0.5) for count in (1, 2, 4)]
    assert len(sharded(runs[2][2])) == (2 if placement == "row_wise" else 0)
    check_alike(runs[0], runs[1])
    check_alike(runs[0], runs[2])


@pytest.mark.slow
def test_the_defaults_of_the_model_train_as_on_one_device():
    options = {"batch_norm": True, "query_norm": "batch", "memory_loss_weight": 0.1}
    one, four = (train(count, "row_wise", ADAGRAD, model=LMN, **options) for count in (1, 4))
    np.testing.assert_allclose(four[0], one[0], rtol=1e-3)
