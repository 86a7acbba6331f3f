import numpy as np
import pytest
from rated_items import rated_dict, split, write_rated
from scipy.special import logit
from written_terms import FOUND

from lmn_tf.features import FeatureEncoder
from lmn_tf.models.terms.rate_terms import RateTerms
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.training.terms.written_rates import write_rates


def slow_rates(train, size, key):
    """The terms of all ids, from the labels `(user, item, label)` of the training rows."""
    every, rates = np.mean([row[2] for row in train]), np.zeros(size)
    for id in {row[key] for row in train if row[key] >= 2}:
        own = [row[2] for row in train if row[key] == id]
        rates[id] = logit((sum(own) + 20 * every) / (len(own) + 20)) - logit(every)
    return rates, every


@pytest.mark.parametrize(("limit", "counts"), [(None, True), (100, False)])
def test_rates_are_those_of_training_rows(tmp_path, limit, counts):
    write_rated(tmp_path, FOUND)
    labels = [{"name": name, "column": "like"} for name in ("like", "again")]
    spec = FeatureSpec.from_dict(rated_dict(labels=labels))
    sizes = FeatureEncoder(spec).sizes
    terms = RateTerms(spec, 2, sizes, histories=True, outcome="liked", counts=counts)
    terms.build()
    text = write_rates(terms, str(tmp_path / "train-*.parquet"), limit)
    rows = split(FOUND)["train"][:limit]
    # The spec knows 50 users; those above share the id 1 of unknown values, which has no rate.
    train = [(user + 2 if user < 50 else 1, *FOUND[user][at]) for user, at in rows]
    train = [(user, item + 2, label) for user, item, label in train]
    items, every = slow_rates(train, 11, 1)
    users, _ = slow_rates(train, 52, 0)
    for key, (name, want) in enumerate((("user", users), ("item", items))):
        found = terms.tables[name].embeddings.numpy()
        np.testing.assert_allclose(found[:, :2], np.stack([want, want], 1), rtol=1e-5, atol=1e-6)
        assert np.ptp(want) > 0.1
        rows = [sum(row[key] == id for row in train if row[key] >= 2) for id in range(len(want))]
        assert found.shape[1] == 2 + counts
        np.testing.assert_allclose(found[:, 2:], np.log1p(rows)[:, None][:, :counts], rtol=1e-6)
    np.testing.assert_allclose(terms.rate, [every, every], rtol=1e-6)
    known = len({row[0] for row in train if row[0] >= 2})
    items = len({row[1] for row in train})
    assert text == f"Counted the rates of {items} values of item and {known} values of user."
