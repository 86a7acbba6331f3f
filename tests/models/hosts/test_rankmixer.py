import keras
import numpy as np
import pytest
from kitchen_sink import SMALL_TOKENS, kitchen_sink_spec, random_features

from lmn_tf.models import DIN, RankMixer

SPEC = kitchen_sink_spec()


def make(**options):
    keras.utils.set_random_seed(1)
    model = RankMixer(SPEC, **{**SMALL_TOKENS, **options})
    model.build()
    return model


def test_the_head_reads_the_mean_of_mixed_tokens():
    model, features = make(num_blocks=1), random_features(SPEC)
    width = 2 * model.tokens.kernel.shape[1]
    vector = np.random.default_rng(0).normal(size=(6, width)).astype("float32")
    tokens = model.tokens(vector)
    assert tokens.shape == (6, 2, 8)
    want = model.blocks[0](tokens).numpy().mean(1)
    groups = model.encoder.encode(features)
    np.testing.assert_allclose(model.interact(vector, groups), want, rtol=1e-5, atol=1e-6)


def test_histories_are_read_as_din_reads_them():
    model, features = make(), random_features(SPEC)
    din = DIN(SPEC, hidden_units=(8, 4), attention_units=(6,))
    din.build()
    din.encoder.set_weights(model.encoder.get_weights())
    din.attention_layers["clicks"].set_weights(model.attention_layers["clicks"].get_weights())
    for got, want in zip(
        model.read_histories(model.encoder.encode(features)),
        din.read_histories(din.encoder.encode(features)),
        strict=True,
    ):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_sizes():
    model = make(num_tokens=4, token_dim=12, num_blocks=3, expansion=3)
    assert len(model.blocks) == 3
    kernels = [weight for weight in model.blocks[0].weights if "kernel" in weight.path]
    assert sum(int(keras.ops.size(kernel)) for kernel in kernels) == 2 * 3 * 4 * 12**2


def test_tokens_must_divide_their_width():
    with pytest.raises(
        ValueError, match="`num_tokens` must divide `token_dim`, 8. Received: num_t.*=3"
    ):
        make(num_tokens=3)
