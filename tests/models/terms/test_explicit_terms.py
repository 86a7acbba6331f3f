import numpy as np
import pytest
from kitchen_sink import KITCHEN_SINK, SMALL, kitchen_sink_spec, random_features

from lmn_tf.models import DNN, Pooling
from lmn_tf.specs.errors import UserError

SPEC = kitchen_sink_spec()
CLICKS = KITCHEN_SINK["sequences"]


def of_roles(*roles):
    """The spec with features of these roles only."""
    features = [one for one in KITCHEN_SINK["features"] if one["role"] in roles]
    return kitchen_sink_spec(
        features=features, sequences=[], tables=KITCHEN_SINK["tables"] if "item" in roles else {}
    )


def test_products_are_of_the_candidate_with_the_user_and_the_read_history():
    model, features = Pooling(SPEC, interaction="product", **SMALL), random_features(SPEC)
    seen = []
    model.interact = lambda vector, *args, **kwargs: seen.append(vector) or vector
    groups = model.encode(features)
    (pooled,) = model.read_histories(groups)
    model.combine(groups, [pooled])
    parts = [groups[role] for role in ("user", "item", "context", "cross")] + [pooled]
    layer = model.feature_interaction
    projected = [
        dense.kernel.numpy().T @ part.numpy()[0] + dense.bias.numpy()
        for dense, part in zip(layer.projections, parts, strict=True)
    ]
    candidate = projected.pop(1)
    products = [candidate * one for one in projected]
    want = np.concatenate([*products, [one.sum() for one in products]])
    width = sum(part.shape[-1] for part in parts)
    np.testing.assert_allclose(seen[0][0, width:], want, rtol=1e-4, atol=1e-5)


def test_wide_logits_are_added_to_those_of_the_head():
    model, features = DNN(SPEC, wide=True, **SMALL), random_features(SPEC)
    alone = model(features).numpy()  # weights start at 0
    table = model.wide_logits.tables["item"].embeddings
    table.assign_add(np.arange(table.shape[0], dtype="float32")[:, None])
    np.testing.assert_allclose(model(features)[:, 0], alone[:, 0] + features["item"], rtol=1e-5)
    assert model.wide is True and model.get_config()["wide"] is True


def test_the_candidate_is_found_where_there_are_no_users():
    model = DNN(of_roles("item", "context"), interaction="product", **SMALL)
    assert model.feature_interaction.candidate == 0


def test_products_need_a_candidate():
    with pytest.raises(UserError, match="`interaction` must not be 'product' .* of user, context"):
        DNN(of_roles("user", "context"), interaction="product", **SMALL)
