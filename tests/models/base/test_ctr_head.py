import keras
import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.models import CTRHead
from lmn_tf.models.options import CTRModelOptions

X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


def test_one_float32_logit_a_label():
    head = CTRHead(2, hidden_units=(8,), dtype="mixed_float16")
    logits = head(X)
    assert logits.shape == (6, 2)
    assert logits.dtype == tf.float32


def test_logits_are_not_squashed():
    head = CTRHead(1, hidden_units=(4,), batch_norm=False)
    head(X)
    head.set_weights([100 * np.abs(weight) for weight in head.get_weights()])
    assert float(tf.reduce_max(tf.abs(head(X)))) > 1.0


@pytest.mark.parametrize("activation", ["prelu", "dice", "relu", "gelu", "silu"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_config_round_trip(activation, batch_norm):
    head = CTRHead(2, (8, 4), activation, dropout=0.1, batch_norm=batch_norm)
    logits = head(X)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(head))
    again.set_weights(head.get_weights())
    np.testing.assert_allclose(again(X), logits, rtol=1e-6)
    assert ("normalization" in " ".join(w.path for w in head.weights)) == (
        batch_norm or activation == "dice"
    )


def test_has_the_options_of_a_model():
    options = {"hidden_units": (6, 5), "activation": "gelu", "dropout": 0.2, "batch_norm": False}
    options |= {"num_experts": 2, "tower_units": (3,)}
    head = CTRHead.of_options(2, CTRModelOptions(**options), extra_units=4, name="head")
    config = head.get_config()
    assert {key: config[key] for key in options} == options
    assert (config["num_labels"], config["extra_units"], head.name) == (2, 4, "head")


@pytest.mark.parametrize("num_experts", [0, 3])
@pytest.mark.parametrize("tower_units", [(), (4,)])
def test_labels_may_have_layers_of_their_own(num_experts, tower_units):
    head = CTRHead(2, (8,), num_experts=num_experts, tower_units=tower_units, extra_units=3)
    extra = np.ones((6, 3), "float32")
    logits = head(X, extra=lambda hidden: extra)
    assert logits.shape == (6, 2)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(head))
    again(X, extra=lambda hidden: extra)
    again.set_weights(head.get_weights())
    np.testing.assert_allclose(again(X, extra=lambda hidden: extra), logits, rtol=1e-6)
    assert np.abs(head(X, extra=lambda hidden: 2 * extra) - logits).max() > 0


@pytest.mark.parametrize("options", [{"tower_units": (4,)}, {"num_experts": 2}])
def test_the_tower_of_one_label_learns_from_it_alone(options):
    head = CTRHead(2, (8,), **options)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(head(X)[:, 0])
    gradients = tape.gradient(loss, head.trainable_weights)
    for weight, gradient in zip(head.trainable_weights, gradients, strict=True):
        own = [part for part in weight.path.split("/") if part in ("tower_1", "logits_1")]
        if own:
            assert gradient is None or float(tf.reduce_max(tf.abs(gradient))) == 0.0


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="`num_labels` must be a positive integer. Received: .*=0"):
        CTRHead(0)
