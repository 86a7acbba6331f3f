import keras
import numpy as np
import pytest
from replicas import replicas

from lmn_tf.distribute.tables.placement import (
    add_table,
    read_rows,
    read_weighted_sum,
    standing_in,
)
from lmn_tf.distribute.tables.row_wise_table import RowWiseTable
from lmn_tf.distribute.tables.sharded_table import ShardedTable
from lmn_tf.features.embedding_table import EmbeddingTable
from lmn_tf.layers import ProductKeyMemory


@keras.saving.register_keras_serializable(package="lmn_tf_tests")
class Holder(keras.layers.Layer):
    """A layer of one table."""

    def __init__(self, shape=(10, 3), placement="row_wise", **kwargs):
        super().__init__(**kwargs)
        self.shape = shape
        self.placement = placement

    def build(self, input_shape=None):
        self.table = add_table(
            self, "embeddings", self.shape, keras.initializers.RandomNormal(seed=3), self.placement
        )


@pytest.mark.parametrize("placement", ["replicated", "row_wise"])
def test_without_a_strategy_a_table_is_a_plain_weight(placement):
    layer = Holder(placement=placement, name="holder")
    layer.build()
    assert type(layer.table) is keras.Variable
    assert [weight.path for weight in layer.trainable_weights] == ["holder/embeddings"]
    rows = layer.table.numpy()
    ids, weights = np.array([[1, 9], [9, 0]]), np.array([[0.5, 2.0], [1.0, -1.0]], "float32")
    np.testing.assert_array_equal(read_rows(layer.table, ids), rows[ids])
    np.testing.assert_allclose(
        read_weighted_sum(layer.table, ids, weights),
        (rows[ids] * weights[..., None]).sum(1),
        rtol=1e-6,
    )


class Ones(RowWiseTable):
    """A table of ones."""

    def lookup(self, ids):
        return np.ones((*np.shape(ids), 3), "f4")

    def weighted_sum(self, ids, weights):
        return (self.lookup(ids) * weights[..., None]).sum(-2)


def test_another_table_stands_in_within_a_block():
    layer, other = Holder(), Holder()
    layer.build()
    other.build()
    ids, weights = np.array([[1, 9]]), np.array([[0.5, 2.0]], "float32")
    with standing_in({id(layer.table): Ones()}):
        np.testing.assert_array_equal(read_rows(layer.table, ids), np.ones((1, 2, 3)))
        np.testing.assert_array_equal(read_weighted_sum(layer.table, ids, weights), [[2.5] * 3])
        np.testing.assert_array_equal(read_rows(other.table, ids), other.table.numpy()[ids])
        with standing_in({}):
            np.testing.assert_array_equal(read_rows(layer.table, ids), layer.table.numpy()[ids])
    np.testing.assert_array_equal(read_rows(layer.table, ids), layer.table.numpy()[ids])


def test_under_a_mirrored_strategy_a_row_wise_table_is_split():
    strategy = replicas(2)
    with strategy.scope():
        layer, plain = Holder(name="holder"), Holder(placement="replicated")
        layer.build()
        plain.build()
        few = EmbeddingTable(20, 2, placement="row_wise")
        few.build()
    assert isinstance(layer.table, ShardedTable)
    assert layer.trainable_weights == [layer.table]
    assert layer.table.path == "holder/embeddings"
    assert layer.count_params() == 30
    assert not isinstance(plain.table, ShardedTable)
    assert not isinstance(few.embeddings, ShardedTable)
    rows = layer.table.numpy()
    np.testing.assert_array_equal(read_rows(layer.table, [3, 1]), rows[[3, 1]])
    np.testing.assert_allclose(
        read_weighted_sum(layer.table, [[3, 1]], [[1.0, 2.0]]), rows[[3]] + 2 * rows[[1]], rtol=1e-6
    )


def test_what_can_not_be_split():
    strategy = replicas(2)
    with pytest.raises(ValueError, match="must be built in the strategy's scope"):
        strategy.run(lambda: Holder().build())
    with strategy.scope(), pytest.raises(ValueError, match="must have float32 variables"):
        Holder(dtype="float64").build()


def test_layers_keep_the_placement():
    memory = ProductKeyMemory(num_keys=4, top_k=2, memory_placement="row_wise")
    assert memory.get_config()["memory_placement"] == "row_wise"
    assert EmbeddingTable(5, 2, placement="row_wise").get_config()["placement"] == "row_wise"
    with pytest.raises(ValueError, match="`memory_placement` must be one of"):
        ProductKeyMemory(memory_placement="sharded")
