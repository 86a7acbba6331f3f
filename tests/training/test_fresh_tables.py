import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import SMALL_OPTIONS, slim_spec
from replicas import replicas
from tiny_run import DNN, pipeline

from lmn_tf.models import registry
from lmn_tf.optimizers import GroupOptimizer, LossScaleOptimizer, RowWiseAdagrad, default, is_table
from lmn_tf.training.build_model import build_model
from lmn_tf.training.fresh_tables import FreshTables, renew_tables
from lmn_tf.training.saving.checkpoints import Checkpoints
from lmn_tf.training.trainer import Trainer
from lmn_tf.training.training_loop import TrainingLoop

ROWS, BATCH, SEED = 40, 8, 7


def build():
    """A model of a table and dense weights, as the random numbers of now make it."""
    ids = keras.Input([3], dtype="int32")
    pooled = keras.ops.mean(keras.layers.Embedding(10, 4, name="item")(ids), 1)
    model = keras.Model(ids, keras.layers.Dense(1)(pooled))
    optimizer = GroupOptimizer(keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.1))
    model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True), run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    return model


def dataset(start):
    def read():
        epoch, first = start()
        rng = np.random.default_rng(epoch)
        ids = rng.integers(0, 8, (ROWS, 3)).astype("int32")
        labels = (ids.sum(axis=1, keepdims=True) > 10).astype("float32")
        for at in range(first * BATCH, ROWS, BATCH):
            yield ids[at : at + BATCH], labels[at : at + BATCH]

    signature = tf.TensorSpec([None, 3], tf.int32), tf.TensorSpec([None, 1], tf.float32)
    return tf.data.Dataset.from_generator(read, output_signature=signature)


def make_loop(folder, listeners=(), fresh=True):
    keras.utils.set_random_seed(SEED)
    return TrainingLoop(
        build(),
        dataset,
        num_rows=ROWS,
        batch_size=BATCH,
        epochs=3,
        checkpoints=Checkpoints(folder),
        checkpoint_steps=3,
        listeners=[*([FreshTables(build, SEED)] if fresh else []), *listeners],
    )


def final(model):
    return [np.asarray(one) for one in [*model.variables, *model.optimizer.variables]]


def assert_same(values, others):
    for one, other in zip(values, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_each_epoch_after_the_first_starts_with_new_tables(tmp_path):
    loop = make_loop(tmp_path / "loop")
    loop.run()
    # The slow twin: one epoch after the other, and by hand what is new between them.
    twin = make_loop(tmp_path / "twin", fresh=False)
    twin.run_epoch()
    for epoch in (1, 2):
        keras.utils.set_random_seed(SEED + epoch)
        twin.model.trainable_variables[0].assign(build().trainable_variables[0].numpy())
        for one in twin.model.optimizer.tables.variables:
            if one.name != "learning_rate":
                one.assign(np.zeros(one.shape))
        twin.run_epoch()
    assert_same(final(loop.model), final(twin.model))
    assert int(loop.model.optimizer.tables.iterations.numpy()) == ROWS // BATCH
    assert int(loop.model.optimizer.dense.iterations.numpy()) == 3 * ROWS // BATCH


class Killed(Exception):
    pass


class KillAt:
    def __init__(self, step):
        self.step = step

    def on_step(self, loop, loss):
        if loop.state.step == self.step:
            raise Killed


# Of 5 steps an epoch: the last of the first, before and after a checkpoint of the second, ...
@pytest.mark.parametrize("kill_at", [5, 6, 8, 11])
def test_continues_bit_for_bit(tmp_path, kill_at):
    whole = make_loop(tmp_path / "whole")
    whole.run()
    with pytest.raises(Killed):
        make_loop(tmp_path / "broken", [KillAt(kill_at)]).run()
    resumed = make_loop(tmp_path / "broken")
    assert resumed.restore()
    resumed.run()
    assert_same(final(whole.model), final(resumed.model))


@pytest.mark.parametrize("wrapper", [lambda optimizer: optimizer, LossScaleOptimizer])
def test_takes_the_tables_and_all_that_is_known_of_them(wrapper):
    rng = np.random.default_rng(0)

    def make():
        model = build()
        model.compile(wrapper(default(tables=RowWiseAdagrad(0.1, 0.5))), "mse")
        model.optimizer.build(model.trainable_variables)
        for variable in [*model.variables, *model.optimizer.variables]:
            variable.assign(rng.integers(1, 9, variable.shape))
        return model

    model, fresh = make(), make()
    before, new = final(model), final(fresh)
    renew_tables(model, fresh)
    names = [one.path for one in [*model.variables, *model.optimizer.variables]]
    taken = [name for name in names if "embeddings" in name or "row_wise_adagrad" in name]
    assert len(taken) == 4  # the table, its accumulators, the steps and the rate
    want = [b if name in taken else a for name, a, b in zip(names, before, new, strict=True)]
    assert_same(final(model), want)


def test_takes_tables_that_are_split_over_replicas():
    def make(seed):
        keras.utils.set_random_seed(seed)
        with replicas(2).scope():
            options = {**SMALL_OPTIONS["lmn"], "memory_placement": "row_wise"}
            model = registry.build("lmn", slim_spec(), options)
            model.compile(default())
            model.build()
            model.optimizer.build(model.trainable_variables)
        return model

    model, fresh = make(1), make(2)
    before = [np.asarray(one) for one in model.trainable_variables]
    renew_tables(model, fresh)
    pairs = zip(model.trainable_variables, fresh.trainable_variables, before, strict=True)
    tables = 0
    for variable, new, old in pairs:
        np.testing.assert_array_equal(variable, new if is_table(variable) else old)
        tables += is_table(variable)
    assert tables > 2


def test_a_run_ends_with_the_tables_of_its_last_epoch(tmp_path):
    given = pipeline(tmp_path / "run", DNN, fresh_tables=True, seed=3)
    trainer = Trainer(given, test=False, stream=io.StringIO())
    trainer.train()
    keras.utils.set_random_seed(4)
    fresh = build_model(given, trainer.spec)
    table, new = (one.encoder.tables["item"].embeddings.numpy() for one in (trainer.model, fresh))
    np.testing.assert_array_equal(table[0], new[0])  # padding, which is never trained
    assert (table[2:] != new[2:]).any()
    steps = trainer.model.optimizer.tables.iterations
    assert int(steps.numpy()) == trainer.directory.read_metrics()["train"]["steps"] // 2
