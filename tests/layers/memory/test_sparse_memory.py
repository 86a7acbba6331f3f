import keras
import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer

from lmn_tf.layers import SparseMemory
from lmn_tf.metrics import MemoryUsage, usage_statistics
from lmn_tf.optimizers.group_optimizer import is_table


def example(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


X, MASK = example(4, 6, 4), np.arange(6) < np.array([[0], [1], [4], [6]])


def make(**options):
    keras.utils.set_random_seed(1)
    return SparseMemory(**{"num_keys": 5, "top_k": 4, "key_dim": 6, **options})


@pytest.mark.parametrize(
    ("arguments", "mask", "inputs"),
    [
        ({"query_source": "mean", "key_balance_weight": 0.1}, MASK, {"inputs": X}),
        (
            {"query_source": "user_aware", "key_expansion": None, "query_norm": "batch"},
            None,
            {"inputs": X[:, 0], "user": example(4, 3)},
        ),
        ({"query_source": "user_aware"}, MASK, {"inputs": X, "user": example(4, 3)}),
    ],
)
def test_is_a_good_layer(arguments, mask, inputs):
    # Some slots are so close that rounding decides: the memory is small and read widely.
    arguments = {"num_keys": 3, "top_k": 9, "key_dim": 4, "value_dim": 5, **arguments}
    check_layer(SparseMemory, arguments, inputs, mask, zero_when_empty=mask is not None)


def layer_norm(x, gain=1.0, bias=0.0):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * gain + bias


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def twin(layer, x):
    """All slots of one vector after the other, from the formulas."""
    w = {weight.path.split("/", 1)[1]: weight.numpy() for weight in layer.weights}
    heads, dim, m = layer.num_heads, layer.key_dim, layer.num_keys
    keys, queries = [], []
    for axis in ("row", "column"):
        if layer.key_expansion is None:
            own = w[f"{axis}_keys"]
        else:
            own = np.einsum("hmo,hod->hmd", w[f"expanded_{axis}_keys"], w[f"{axis}_key_kernel"])
        keys.append(layer_norm(own, w["key_normalization/gamma"]) if layer.key_norm else own)
        q = (x @ w[f"{axis}_query/kernel"] + w[f"{axis}_query/bias"]).reshape(-1, heads, dim)
        gain, bias = w["query_normalization/gamma"], w["query_normalization/beta"]
        queries.append(layer_norm(q, gain, bias))
    r = np.zeros((len(x), w["memory_values"].shape[1]))
    hits = []
    for head in range(heads):
        rows, columns = (q[:, head] @ k[head].T for q, k in zip(queries, keys, strict=True))
        scores = (rows[:, :, None] + columns[:, None, :]).reshape(-1, m * m) / layer.temperature
        best = np.argsort(-scores)[:, : layer.top_k]
        weights = softmax(np.take_along_axis(scores, best, 1))
        r += np.einsum("nk,nkd->nd", weights, w["memory_values"][best])
        hits.append((best, weights))
    g = x @ w["memory_gate/gate_projection/kernel"] + w["memory_gate/gate_projection/bias"]
    y = (r * g / (1 + np.exp(-g))) @ w["memory_gate/output_projection/kernel"]
    return y + w["memory_gate/output_projection/bias"], hits


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_heads": 3, "value_dim": 3, "temperature": 2.0},
        {"key_expansion": None},
        {"key_norm": False},
    ],
)
def test_equals_its_numpy_twin(run_mode, options):
    layer = make(**options)
    layer.build((None, 4))
    x = example(10, 4)
    for weight in layer.weights:  # gains of 1 and biases of 0 would hide mistakes
        if "normalization" in weight.path or "bias" in weight.path:
            weight.assign_add(0.3 * example(*weight.shape))
    np.testing.assert_allclose(run_mode(layer)(x), twin(layer, x)[0], rtol=1e-3, atol=1e-4)


def test_values_of_one_make_it_a_feed_forward_layer():
    layer = make(value_initializer="ones", value_dim=7)
    output = layer(X)
    gate = layer.memory_gate
    want = gate.output_projection(tf.nn.silu(gate.gate_projection(X)))
    np.testing.assert_allclose(output, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options", [{}, {"num_heads": 2, "query_source": "user_aware"}, {"key_expansion": None}]
)
def test_folded_keys_give_the_same(run_mode, options):
    layer, user = make(**options), example(4, 3)
    arguments = {"user": user} if options.get("query_source") else {}
    want = layer(X, **arguments)
    copy = layer.fold()
    assert copy.key_expansion is None and not copy.key_norm
    np.testing.assert_allclose(run_mode(copy)(X, **arguments), want, rtol=1e-5, atol=1e-6)
    assert not any("expanded" in weight.path for weight in copy.weights)
    with layer.folded():
        np.testing.assert_allclose(run_mode(layer)(X, **arguments), want, rtol=1e-5, atol=1e-6)
        graph = tf.function(layer).get_concrete_function(X, **arguments).graph
        captured = {id(tensor) for tensor, _ in graph.captures}
        for weight in layer.weights:
            is_key = "key" in weight.path.rsplit("/")[-1] or "key_norm" in weight.path
            assert (id(weight.value.handle) in captured) != is_key
    layer.memory_values.assign_add(layer.memory_values)
    assert np.abs(layer(X, **arguments) - want).max() > 0.01


def test_folding_ends_with_its_block():
    layer = make()
    layer(X)
    with layer.folded():
        before = layer(X)
        layer.row_key_kernel.assign(example(*layer.row_key_kernel.shape))
        np.testing.assert_array_equal(layer(X), before)
    assert np.abs(layer(X) - before).max() > 1e-4


def test_scaling_expanded_keys_changes_nothing():
    layer = make()
    before = layer(X)
    for keys in (layer.expanded_row_keys, layer.expanded_column_keys):
        keys.assign(10.0 * keys)
    np.testing.assert_allclose(layer(X), before, rtol=1e-4, atol=1e-5)
    free = make(key_norm=False)
    before = free(X)
    free.expanded_row_keys.assign(10.0 * free.expanded_row_keys)
    assert np.abs(free(X) - before).max() > 1e-3


def test_every_key_moves_when_one_is_hit():
    for expansion, all_move in ((4, True), (None, False)):
        # More slots than a row or a column has: both have a choice that the weights depend on.
        layer = make(num_keys=12, top_k=14, key_expansion=expansion)
        layer(X)
        before = [keys.numpy() for keys in layer.scored_keys()]
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(X[:1, :1]) ** 2)
        names = ("row_keys", "row_key_kernel", "column_key_kernel", "column_keys")
        weights = [w for w in layer.trainable_weights if w.path.split("/")[-1] in names]
        gradients = tape.gradient(loss, [weight.value for weight in weights])
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.assign_sub(0.1 * tf.convert_to_tensor(gradient))
        still = [
            int((np.abs(after - old).max(-1) == 0).sum())
            for after, old in zip(layer.scored_keys(), before, strict=True)
        ]
        assert (sum(still) == 0) == all_move


def test_one_query_a_row_from_the_mean(run_mode):
    layer = make(query_source="mean", gate="residual")
    output = run_mode(lambda x: layer(x, mask=MASK))(X).numpy()
    for row in (1, 2, 3):
        mean = X[row][MASK[row]].mean(0, keepdims=True)
        want = layer(mean)[0]
        np.testing.assert_allclose(
            output[row][MASK[row]], np.tile(want, (MASK[row].sum(), 1)), rtol=1e-4, atol=1e-5
        )
    reads = []
    with layer.watched(lambda reading, mask: reads.append((reading.slots.shape, mask.numpy()))):
        layer(X, mask=MASK)
    assert reads[0][0] == (4, 1, 4)
    np.testing.assert_array_equal(reads[0][1], [False, True, True, True])


def test_the_user_matters_for_user_aware_queries_only():
    for source, matters in (("user_aware", True), ("token", False)):
        layer = make(query_source=source)
        outputs = [layer(X, user=example(4, 3, seed=seed)) for seed in (1, 2)]
        assert (np.abs(outputs[0] - outputs[1]).max() > 1e-4) == matters
    layer = make(query_source="user_aware")
    assert layer(X[:, 0], user=example(4, 3)).shape == (4, 4)


@pytest.mark.parametrize("gate", ["swiglu", "sigmoid", "residual", "scalar"])
@pytest.mark.parametrize("shape", [(3, 5), (3, 2, 5)])
def test_output_is_shaped_like_the_input(gate, shape):
    layer = make(gate=gate, value_dim=3)
    assert layer(example(*shape)).shape == layer.compute_output_shape(shape) == shape
    assert layer.memory_values.shape == (25, 3)


def test_usage_agrees_with_a_recount():
    layer = make(num_heads=2)
    layer(X)
    counts, weighted = MemoryUsage(25, by="counts"), MemoryUsage(25)

    def watch(reading, mask):
        for metric in (counts, weighted):
            metric.update_state(reading.slots, reading.weights, mask=mask)

    with layer.watched(watch):
        layer(X, mask=MASK)
    _, hits = twin(layer, X.reshape(-1, 4))
    used, mass = np.zeros(25), np.zeros(25)
    for slots, weights in hits:
        np.add.at(used, slots[MASK.ravel()], 1)
        np.add.at(mass, slots[MASK.ravel()], weights[MASK.ravel()])
    assert used.sum() == MASK.sum() * 2 * 4
    for metric, reads in ((counts, used), (weighted, mass)):
        want = usage_statistics(reads)
        got = metric.compute()
        for key in want:
            assert got[key] == pytest.approx(want[key], rel=1e-3, abs=1e-4)


def test_key_balance_loss():
    layer = make(key_balance_weight=0.5, num_heads=2)
    layer(X)
    assert layer.losses == []
    readings = []
    with layer.watched(lambda reading, mask: readings.append(reading)):
        layer(X, mask=MASK, training=True)
    [loss], valid = layer.losses, MASK.ravel()
    total = 0.0
    for axis, keys in enumerate(layer.scored_keys()):
        ids = readings[0].slots.numpy()[valid]
        ids = ids // 5 if axis == 0 else ids % 5
        for head in range(2):
            queries = readings[0].queries.numpy()[valid, axis, head]
            p = softmax(queries @ keys.numpy()[head].T).mean(0)
            f = np.bincount(ids[:, head].ravel(), minlength=5) / ids[:, head].size
            total += 5 * (p * f).sum()
    assert float(loss) == pytest.approx(0.5 * total / 4, rel=1e-4)
    with tf.GradientTape() as tape:
        layer(X, mask=MASK, training=True)
        loss = layer.losses[0]
    gradients = tape.gradient(loss, [layer.row_key_kernel.value, layer.row_query.kernel.value])
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)


def test_initial_state_and_names():
    layer = SparseMemory()
    layer.build((None, 8, 16))
    assert layer.memory_size == 16384 and layer.memory_values.shape == (16384, 16)
    assert layer.expanded_row_keys.shape == (1, 128, 128)
    assert layer.row_key_kernel.shape == (1, 128, 32)
    assert abs(layer.memory_values.numpy().std() - 0.25) < 0.01
    tables = [weight.path for weight in layer.weights if is_table(weight)]
    assert tables == [layer.memory_values.path]
    assert layer.query_normalization.epsilon == layer.key_normalization.epsilon == 1e-6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_keys": 1}, "`num_keys` must be at least 2"),
        ({"key_expansion": 0}, "`key_expansion` must be a positive integer"),
        ({"query_source": "tokens"}, "`query_source` must be one of .* Did you mean `token`"),
        ({"key_balance_weight": -0.1}, "`key_balance_weight` must be zero or more"),
        ({"gate": "relu"}, "`gate` must be one of"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SparseMemory(**arguments)


def test_a_user_aware_memory_needs_a_user():
    with pytest.raises(ValueError, match="`user` must be given for `query_source='user_aware'`"):
        make(query_source="user_aware")(X)


def test_a_config_without_the_merging_of_heads_loads():
    config = SparseMemory(num_keys=6, top_k=3, num_heads=2, head_merge="mean").get_config()
    assert SparseMemory.from_config(config).head_merge == "mean"
    del config["head_merge"]  # as written by earlier versions
    assert SparseMemory.from_config(config).head_merge == "sum"


@pytest.mark.parametrize("head_merge", ["mean", "concat"])
def test_read_outs_of_heads_may_be_merged_otherwise(head_merge):
    layer = SparseMemory(num_keys=6, top_k=3, num_heads=2, value_dim=5, head_merge=head_merge)
    tokens = np.random.default_rng(0).normal(size=(2, 3, 8)).astype("float32")
    output = layer(tokens)
    assert output.shape == (2, 3, 8)
    np.testing.assert_allclose(layer.fold()(tokens), output, rtol=1e-5, atol=1e-6)
