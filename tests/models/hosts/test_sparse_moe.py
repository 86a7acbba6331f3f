import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import SMALL_OPTIONS, random_features, random_labels, slim_spec

from lmn_tf.models import MSN, RankMixer, SparseMoE

SPEC = slim_spec()
SMALL = SMALL_OPTIONS["sparse_moe"]


def make(model_class=SparseMoE, **options):
    keras.utils.set_random_seed(1)
    model = model_class(SPEC, **options)
    model.build()
    return model


def per_token(part, share_of):
    """Weights of matrices that one token of a block reads: its multiply-adds."""
    return sum(
        int(keras.ops.size(weight)) * share_of(weight) for weight in part if len(weight.shape) == 3
    )


def test_costs_what_the_dense_model_costs_and_has_more_weights():
    sizes = {"num_tokens": 4, "token_dim": 16, "hidden_units": (8,)}
    dense, sparse = make(RankMixer, **sizes), make(**sizes)
    [dense_block, *_], [sparse_block, *_] = dense.blocks, sparse.blocks
    want = per_token(dense_block.feed_forward.weights, lambda weight: 1 / 4)
    router = 16 * 16

    def share(weight):
        return 1 / 4 if weight.path.endswith("router") else 1 / 4 * 4 / 16

    assert per_token(sparse_block.feed_forward.weights, share) == want + router == 2048 + router
    whole = per_token(sparse_block.feed_forward.weights, lambda weight: 1 / 4)
    assert whole == 4 * want + router
    # A memory that stands in for the dense part: its queries, keys, slots and gate.
    memory = make(MSN, num_keys=20, top_k=4, key_dim=8, **sizes).blocks[0].memory
    dense = {
        weight.path.split("/")[-2]: int(keras.ops.size(weight))
        for weight in memory.weights
        if weight.path.endswith("/kernel")
    }
    keys = 2 * memory.num_keys * memory.key_dim
    read = sum(dense.values()) + keys + memory.top_k * memory.memory_values.shape[1]
    assert read == (2 * 16 * 8 + 2 * 16 * 16) + 2 * 20 * 8 + 4 * 16 < want


@pytest.mark.slow
def test_training_logs_open_gates_and_adds_the_routers_losses():
    data = tf.data.Dataset.from_tensors((random_features(SPEC), random_labels())).repeat(2)
    model = make(**SMALL)
    model.compile()
    history = model.fit(data, validation_data=data, verbose=0).history
    names = {f"block_{index}_experts_active" for index in (0, 1)}
    assert names <= set(history) and not {f"val_{name}" for name in names} & set(history)
    assert all(0 < history[name][0] < 4 for name in names)
    model(random_features(SPEC), training=True)
    assert len(model.losses) == 2
    model(random_features(SPEC))
    assert model.losses == []


@pytest.mark.parametrize("routing", ["relu", "softmax"])
def test_options(routing):
    model = make(**{**SMALL, "routing": routing, "balance_weight": 0.5, "num_experts": 2})
    model.compile(run_eagerly=True)
    assert np.isfinite(model.train_on_batch(random_features(SPEC), random_labels())).all()
    experts = model.blocks[1].feed_forward
    assert (experts.routing, experts.balance_weight) == (routing, 0.5)
    assert (experts.num_experts, experts.active_experts, experts.expansion) == (4, 2, 2)
    assert SparseMoE.from_config(model.get_config()).get_config() == model.get_config()
