import keras
import pytest

from lmn_tf.optimizers import RowWiseAdagrad, RowWiseSGD, default


def test_adam_for_the_dense_part_and_row_wise_adagrad_for_tables():
    optimizer = default()
    assert type(optimizer.dense) is keras.optimizers.Adam
    assert type(optimizer.tables) is RowWiseAdagrad
    assert float(optimizer.dense.learning_rate) == pytest.approx(0.001)
    assert float(optimizer.tables.learning_rate) == pytest.approx(0.05)


def test_takes_rates_schedules_and_optimizers():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    sgd = keras.optimizers.SGD(1.0)
    optimizer = default(dense=sgd, tables=schedule, clip_norm=2.0)
    assert optimizer.dense is sgd and sgd.global_clipnorm is None
    assert optimizer.tables.global_clipnorm == 2.0
    assert float(optimizer.tables.learning_rate) == pytest.approx(0.1)
    assert float(default(dense=1).dense.learning_rate) == 1.0


def test_tables_of_pairs_are_clipped_like_the_others():
    named = default(clip_norm=2.0, pairs=["clicks_pairs", "item_pairs"]).named
    assert {name: one.global_clipnorm for name, one in named.items()} == {
        "clicks_pairs": 2.0,
        "item_pairs": 2.0,
    }
    assert all(isinstance(one, RowWiseSGD) for one in named.values())
    assert default(pairs=["item_pairs"]).named["item_pairs"].global_clipnorm is None


def test_each_call_makes_new_optimizers():
    assert default().dense is not default().dense
