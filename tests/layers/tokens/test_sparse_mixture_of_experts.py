import keras
import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer

from lmn_tf.layers import PerTokenMLP, SparseMixtureOfExperts


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


X = example(5, 3, 4)


@pytest.mark.parametrize("routing", ["relu", "softmax"])
def test_is_a_good_layer(routing):
    arguments = {"num_experts": 4, "active_experts": 2, "expansion": 2, "routing": routing}
    check_layer(SparseMixtureOfExperts, arguments, {"inputs": X}, fixed_length=True)


def make(**options):
    options = {"num_experts": 4, "active_experts": 2, "expansion": 2, **options}
    layer = SparseMixtureOfExperts(**options)
    layer.build(X.shape)
    return layer


@pytest.mark.parametrize("routing", ["relu", "softmax"])
def test_equals_a_loop_over_tokens_and_experts(run_mode, routing):
    layer = make(routing=routing)
    for bias in (layer.bias_0, layer.bias_1, layer.router_bias):
        bias.assign(0.3 * example(*bias.shape))
    output = run_mode(layer)(X).numpy()
    width = 4  # of an expert: 2 * 4 / 2
    for t in range(3):
        scores = X[:, t] @ layer.router.numpy()[t] + layer.router_bias.numpy()[t]
        want = np.tile(layer.bias_1.numpy()[t], (5, 1))
        if routing == "relu":
            gates = np.maximum(scores, 0)
        else:
            kept = scores >= np.sort(scores)[:, -2:-1]
            gates = np.where(kept, np.exp(scores), 0)
            gates /= gates.sum(-1, keepdims=True)
        for j in range(4):
            units = slice(width * j, width * (j + 1))
            hidden = X[:, t] @ layer.kernel_0.numpy()[t, :, units] + layer.bias_0.numpy()[t, units]
            hidden = keras.activations.gelu(hidden).numpy()
            want += gates[:, j : j + 1] * (hidden @ layer.kernel_1.numpy()[t, units])
        np.testing.assert_allclose(output[:, t], want, rtol=1e-4, atol=1e-5)


def test_one_expert_that_is_open_is_the_dense_part():
    dense = PerTokenMLP(2)
    dense.build(X.shape)
    layer = make(num_experts=1, active_experts=1, routing="softmax")
    layer.kernel_0.assign(dense.kernels[0])
    layer.kernel_1.assign(dense.kernels[1])
    np.testing.assert_allclose(layer(X), dense(X), rtol=1e-5, atol=1e-6)


def test_each_token_trains_its_own_experts_only():
    layer = make()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(X)[:, 1] ** 2)
    for gradient in tape.gradient(loss, [weight.value for weight in layer.trainable_weights]):
        largest = np.abs(tf.convert_to_tensor(gradient)).reshape(3, -1).max(1)
        assert largest[1] > 0 and largest[0] == largest[2] == 0


def test_the_balance_loss_compares_probabilities_with_shares():
    layer = make(routing="softmax", balance_weight=0.5)
    layer.gates(X, training=True)
    losses = []
    for t in range(3):
        scores = X[:, t] @ layer.router.numpy()[t] + layer.router_bias.numpy()[t]
        likely = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        share = np.bincount(np.argsort(-scores)[:, :2].ravel(), minlength=4) / 10
        losses.append(4 * likely.mean(0) @ share)
    np.testing.assert_allclose(layer.losses, [0.5 * np.mean(losses)], rtol=1e-5)


def test_softmax_opens_the_same_number_for_all_and_sums_to_one():
    gates = make(routing="softmax").gates(X).numpy()
    np.testing.assert_array_equal((gates > 0).sum(-1), 2)
    np.testing.assert_allclose(gates.sum(-1), 1, rtol=1e-6)


def test_the_loss_weight_of_each_token_follows_its_open_gates():
    layer, x = make(), np.abs(X)
    active = np.array([1, 4, 2])
    router = np.full(layer.router.shape, -1.0, "float32")
    for token, count in enumerate(active):
        router[token, :, :count] = 1.0
    layer.router.assign(router)
    layer.sparsity_weight.assign([0.5, 0.3, 0.2])
    gates = layer.gates(x, training=True).numpy()
    np.testing.assert_array_equal((gates > 0).sum(-1).mean(0), active)
    shut = np.maximum(-np.einsum("btd,tde->bte", x, router), 0).sum(-1).mean(0)
    loss = (np.array([0.5, 0.3, 0.2]) * gates.sum(-1).mean(0)).mean() + 1e-3 * shut[0] / 3
    assert float(layer.losses[-1]) == pytest.approx(loss, rel=1e-5)
    want = [0.5 / 1.2, 0.3 * 1.2, 0.2 / 1.2]
    np.testing.assert_allclose(layer.sparsity_weight, want, rtol=1e-5)
    layer.gates(x)
    np.testing.assert_allclose(layer.sparsity_weight, want, rtol=1e-5)
    layer.sparsity_weight.assign([1e-8, 1.0, 1.0])
    layer.gates(x, training=True)
    np.testing.assert_allclose(layer.sparsity_weight, [1e-8, 1.0, 1 / 1.2], rtol=1e-5)
    assert float(layer.active_tracker.result()) == pytest.approx(7 / 3)


def fitted(shut):
    keras.utils.set_random_seed(1)
    layer = SparseMixtureOfExperts(num_experts=8, active_experts=2, expansion=2)
    inputs = keras.Input((3, 4))
    model = keras.Model(inputs, keras.ops.mean(layer(inputs), (1, 2)))
    if shut:
        layer.router.assign(-np.abs(layer.router))
    model.compile(keras.optimizers.Adam(0.003), "mse")
    x = np.random.default_rng(0).normal(size=(64, 3, 4)).astype("float32")
    x = np.abs(x) if shut else x
    data = tf.data.Dataset.from_tensors((x, x[:, 0, 0])).repeat(300)
    model.fit(data, shuffle=False, verbose=0)
    history = model.fit(data.take(50), shuffle=False, verbose=0).history
    return history[f"{layer.name}_active"][-1]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("shut", [False, True])
def test_training_reaches_the_wanted_number_of_open_gates(shut):
    assert fitted(shut) == pytest.approx(2.0, abs=0.7)


def test_a_frozen_layer_keeps_the_weight_of_its_loss():
    layer = make()
    layer.sparsity_weight.assign([0.5] * 3)
    for trainable in (False, True):
        layer.trainable = trainable
        layer(X, training=True)
        assert ((layer.sparsity_weight.numpy() != 0.5) == trainable).all()


def test_no_loss_outside_training():
    for routing in ("relu", "softmax"):
        layer = make(routing=routing)
        layer(X)
        assert layer.losses == []
        layer(X, training=True)
        assert len(layer.losses) == 1
    layer = make(routing="softmax", balance_weight=0.0)
    layer(X, training=True)
    assert layer.losses == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_experts": 0}, "`num_experts` must be a positive integer"),
        ({"num_experts": 3}, "`active_experts` must be at most `num_experts`"),
        ({"routing": "rely"}, "`routing` must be one of .* Did you mean `relu`"),
        ({"balance_weight": -1.0}, "`balance_weight` must be zero or more"),
        ({"balance_weight": np.nan}, "`balance_weight` must be zero or more"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SparseMixtureOfExperts(**arguments)


def test_experts_must_be_of_whole_units():
    with pytest.raises(ValueError, match="must divide the hidden width.* hidden width=4"):
        SparseMixtureOfExperts(active_experts=3, expansion=1)(X)
