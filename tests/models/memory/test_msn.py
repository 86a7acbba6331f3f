import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import (
    KITCHEN_SINK,
    SMALL_OPTIONS,
    kitchen_sink_spec,
    random_features,
    random_labels,
    slim_spec,
)

from lmn_tf.metrics import usage_statistics
from lmn_tf.models import MSN, RankMixer
from lmn_tf.serving.saved_model import input_name, load, save
from lmn_tf.specs.errors import UserError

SPEC, SLIM = kitchen_sink_spec(), slim_spec()
SMALL = SMALL_OPTIONS["msn"]
MLP = {**SMALL, "host": "mlp"}


def make(spec=SLIM, **options):
    keras.utils.set_random_seed(1)
    model = MSN(spec, **{**SMALL, **options})
    model.build()
    return model


def test_memories_that_start_as_zero_leave_the_backbone_bit_identical():
    features = random_features(SLIM)
    model = make(zero_output=True)
    names = ("num_keys", "top_k", "key_dim")
    plain = RankMixer(SLIM, **{key: SMALL[key] for key in SMALL if key not in names})
    plain.build()
    own = {weight.path.split("/", 1)[1]: weight for weight in model.weights}
    for weight in plain.weights:
        weight.assign(own.pop(weight.path.split("/", 1)[1]))
    assert all("_memory/" in path for path in own)
    np.testing.assert_array_equal(model(features), plain(features))


def test_the_mlp_host_is_one_block_on_all_features():
    model, features = make(**MLP), random_features(SLIM)
    assert model.tokens is None
    groups = model.encoder.encode(features)
    parts = [groups[role] for role in ("user", "item", "context", "cross")]
    vector = tf.concat([*parts, *model.read_histories(groups)], axis=-1)
    [block] = model.blocks
    s = vector[:, None, :]
    total = (s + block.feed_forward(s) + block.memory(s)).numpy()[:, 0]
    want = (total - total.mean(-1, keepdims=True)) / np.sqrt(total.var(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(model.interact(vector, groups), want, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(model(features), model.head(want), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("host", ["rankmixer", "mlp"])
@pytest.mark.parametrize("placement", ["parallel", "replace"])
def test_placement(host, placement):
    interaction = "cross" if host == "mlp" else "none"
    model = make(host=host, placement=placement, interaction=interaction, num_blocks=1)
    assert all((block.feed_forward is None) == (placement == "replace") for block in model.blocks)
    model.compile(run_eagerly=True)
    assert np.isfinite(model.train_on_batch(random_features(SLIM), random_labels())).all()


@pytest.mark.parametrize(
    "options",
    [
        {"num_heads": 2, "key_dim": None, "value_dim": 3, "query_source": "user_aware"},
        {"query_source": "mean", "gate": "sigmoid", "key_expansion": None, "key_norm": False},
        {"gate": "scalar", "query_norm": "batch", "key_balance_weight": 0.1, "temperature": 2.0},
        {**MLP, "gate": "residual", "query_source": "user_aware"},
    ],
)
def test_options(options):
    model = make(num_blocks=1, **options)
    model.compile(run_eagerly=True)
    assert np.isfinite(model.train_on_batch(random_features(SLIM), random_labels())).all()
    memory = model.blocks[-1].memory
    for name, value in options.items():
        if name in memory.get_config():
            assert getattr(memory, name) == value
    assert MSN.from_config(model.get_config()).get_config() == model.get_config()


@pytest.mark.slow
def test_the_user_matters_to_user_aware_queries():
    features, slots = random_features(SLIM), []
    other = {**features, "user": features["user"] % 50 + 1}
    model = make(query_source="user_aware")
    groups = [model.encoder.encode(one) for one in (features, other)]
    vector = tf.ones((6, model.tokens.kernel.shape[1] * 2))[:, : _width(model)]
    memory = model.blocks[0].memory
    for one in groups:
        with memory.watched(lambda reading, mask: slots.append(reading.queries.numpy())):
            model.interact(vector, one)
    assert np.abs(slots[0] - slots[1]).max() > 1e-6


def _width(model):
    return sum(model.encoder.widths[role] for role in ("user", "item", "context", "cross")) + 9


def test_user_aware_queries_need_user_features():
    kept = [f for f in KITCHEN_SINK["features"] if f["name"] in ("item", "tags")]
    spec = slim_spec(features=kept, group=None)
    with pytest.raises(UserError, match="`query_source` must not be 'user_aware'"):
        make(spec, query_source="user_aware")
    assert np.isfinite(make(spec)(random_features(spec))).all()


def recount(model, features):
    """Statistics of each memory from its slots and weights."""
    counted = []
    for block in model.blocks:
        readings = []
        with block.memory.watched(lambda reading, mask, to=readings: to.append(reading)):
            model(features)
        reads = np.zeros(block.memory.memory_size)
        np.add.at(reads, readings[0].slots.numpy(), readings[0].weights.numpy())
        counted.append(usage_statistics(reads))
    return counted


@pytest.mark.slow
def test_evaluate_tells_how_each_memory_was_used():
    features, labels = random_features(SLIM, rows=24), random_labels(24)
    data = tf.data.Dataset.from_tensor_slices((features, labels)).batch(8)
    model = make()
    model.compile(metrics=["auc"])
    logs = model.evaluate(data, verbose=0, return_dict=True)
    for index, want in enumerate(recount(model, features)):
        assert logs[f"block_{index}_slots_used"] == pytest.approx(want["used"])
        assert logs[f"block_{index}_memory_kl"] == pytest.approx(want["kl"], rel=1e-4)
        assert logs[f"block_{index}_slots_for_90"] == want["top90"]
        assert model.memory_usage()[f"block_{index}"]["gini"] == pytest.approx(want["gini"])
    history = model.fit(data, validation_data=data, verbose=0).history
    assert "val_block_0_slots_used" in history and "block_0_slots_used" not in history


def test_one_memory_needs_no_prefix():
    model = make(**MLP)
    model.compile(run_eagerly=True)
    assert np.isnan(model.memory_usage()["block"]["used"])
    features = random_features(SLIM)
    logs = model.evaluate(features, random_labels(), verbose=0, return_dict=True)
    assert logs["slots_used"] == pytest.approx(recount(model, features)[0]["used"])


def test_an_export_holds_folded_keys(tmp_path):
    model, features = make(**MLP), random_features(SLIM)
    keys = model.encoder.signature()
    save(model, tmp_path / "model")
    want = model(features).numpy()
    memory = model.blocks[0].memory
    assert memory._folded_keys is None
    serve = load(tmp_path / "model").signatures["serving_default"]
    outputs = serve(**{input_name(key): tf.constant(features[key]) for key in keys})
    np.testing.assert_allclose(outputs["click_logit"], want[:, 0], rtol=1e-5, atol=1e-6)
    nodes = [node for f in serve.graph.as_graph_def().library.function for node in f.node_def]
    constants = [tf.make_ndarray(n.attr["value"].tensor) for n in nodes if n.op == "Const"]
    for block in model.blocks:
        for want in block.memory.scored_keys():
            assert any(np.array_equal(want, one) for one in constants)


@pytest.mark.slow
def test_two_replicas_take_the_same_step_as_one():
    devices = tf.config.list_logical_devices("CPU")
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices[:2]])
    features, labels = random_features(SLIM, rows=8), random_labels(rows=8)
    # Statistics are of each replica's part, so both replicas get the same rows.
    both = {key: np.concatenate([value, value]) for key, value in features.items()}
    with strategy.scope():
        model = make(key_balance_weight=0.1, num_blocks=1)
        model.compile(keras.optimizers.SGD(0.1))
    data = tf.data.Dataset.from_tensor_slices((both, np.concatenate([labels, labels]))).batch(16)
    model.fit(data, verbose=0)
    alone = make(key_balance_weight=0.1, num_blocks=1)
    alone.compile(keras.optimizers.SGD(0.1))
    alone.train_on_batch(features, labels)
    for one, other in zip(model.weights, alone.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5, err_msg=one.path)
    logs = model.evaluate(data, verbose=0, return_dict=True)
    assert logs["slots_used"] > 0
