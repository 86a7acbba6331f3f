import numpy as np
import pytest
from check_layer import check_layer

from lmn_tf.layers import FieldSelector

SMALL = {"field_widths": (3, 2, 2), "units": 4, "hidden_units": (5,)}
FIELDS = np.random.default_rng(0).normal(size=(4, 7)).astype("float32")


def test_is_a_good_layer():
    check_layer(FieldSelector, SMALL, {"fields": FIELDS})


def test_equals_the_literal_form():
    layer = FieldSelector(**SMALL)
    logits = layer(FIELDS).numpy()
    weight = {w.path.split("/", 1)[-1]: w.numpy() for w in layer.weights}
    parts = np.split(FIELDS, [3, 5], axis=1)
    vectors = np.stack(
        [
            part @ weight[f"projection_{i}/kernel"] + weight[f"projection_{i}/bias"]
            for i, part in enumerate(parts)
        ],
        axis=1,
    )
    centered = vectors - vectors.mean(-1, keepdims=True)
    n = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-3)
    query, key, value = (
        np.einsum("bfd,dhe->bhfe", x, weight[f"attention/{name}/kernel"])
        for name, x in (("query", n), ("key", vectors), ("value", vectors))
    )
    attention = np.exp(query @ key.transpose(0, 1, 3, 2) / np.sqrt(2))
    attention /= attention.sum(-1, keepdims=True)
    kernel = weight["attention/attention_output/kernel"]
    a = n + np.einsum("bhfe,hed->bfd", attention @ value, kernel)
    hidden = a @ weight["mlp/hidden_0/kernel"] + weight["mlp/hidden_0/bias"]
    want = np.maximum(hidden, 0) @ weight["mlp/output/kernel"] + weight["mlp/output/bias"]
    np.testing.assert_allclose(logits, want[..., 0], rtol=1e-4, atol=1e-5)


def test_a_field_sees_the_others():
    layer = FieldSelector(**SMALL)
    changed = FIELDS.copy()
    changed[:, 5:] += 1.0
    assert (np.abs(layer(changed) - layer(FIELDS)).max(axis=0) > 1e-6).all()


def test_bad_arguments():
    with pytest.raises(ValueError, match="`field_widths` must hold positive integers only"):
        FieldSelector((3, 0))
    with pytest.raises(ValueError, match="`field_widths` must not be empty. Received"):
        FieldSelector(())
    with pytest.raises(ValueError, match="`units` must be a positive integer. Received: units=0"):
        FieldSelector((3,), units=0)
    with pytest.raises(ValueError, match="`num_heads` must be a positive integer"):
        FieldSelector((3,), num_heads=0)
    with pytest.raises(
        ValueError, match="divisible by `num_heads`. Received: units=4, num_heads=3"
    ):
        FieldSelector((3,), units=4, num_heads=3)
    with pytest.raises(ValueError, match=r"Received: width=7, field_widths=\(3, 2\)"):
        FieldSelector((3, 2))(FIELDS)
