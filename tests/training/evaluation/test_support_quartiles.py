import numpy as np
import pytest
from rated_items import rated, rated_spec, ratings, split, write_rated
from sklearn.metrics import roc_auc_score

from lmn_tf.data.dataset import evaluation_dataset
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.training.evaluation.pair_support import PairSupport
from lmn_tf.training.evaluation.support_quartiles import SupportQuartiles


class Fixed:
    """Support of rows that is known in advance."""

    def __init__(self, values):
        self._values = np.array(values)

    def of_rows(self, candidates, lengths, events):
        assert len(candidates) == len(lengths) == len(self._values)
        assert len(events) == lengths.sum()
        return self._values


def collected(count):
    found = ratings(users=count)
    rows = rated(found, split(found)["test"])
    quartiles = SupportQuartiles.of(rated_spec())
    logits = np.random.default_rng(0).normal(size=(count, 1)).astype("float32")
    quartiles.add_interactions(rows, logits)
    return quartiles, rows, logits


def test_rows_of_equal_support_are_together():
    quartiles, rows, logits = collected(12)
    values = [0, 0, 0, 0, 0, 0, 0, 5, 6, 7, 8, 9]
    figures = quartiles.figures(Fixed(values))
    found = [(one["from"], one["to"], one["rows"]) for one in figures]
    assert found == [(0, 0, 7), (None, None, 0), (5, 6, 2), (7, 9, 3)]
    assert figures[1]["auc"] is None
    auc = roc_auc_score(rows.labels[:7, 0], logits[:7, 0])
    assert figures[0]["auc"] == pytest.approx(auc, abs=1e-6)


def test_quartiles_of_no_rows_are_empty():
    nothing = {"from": None, "to": None, "rows": 0, "auc": None}
    assert SupportQuartiles.of(rated_spec()).figures(Fixed([])) == [nothing] * 4


def test_batches_have_the_support_of_their_rows(tmp_path):
    found = ratings(users=40)
    write_rated(tmp_path, found)
    spec, rows = rated_spec(), split(found)
    train, test = rated(found, rows["train"]), rated(found, rows["test"])
    score = (test.items % 5).astype("float32")[:, None]
    plain, batched = SupportQuartiles.of(spec), SupportQuartiles.of(spec)
    plain.add_interactions(test, score)
    for features, labels in evaluation_dataset(spec, f"{tmp_path}/test-*.parquet", 7):
        logits = (features["item"].numpy() % 5).astype("float32")[:, None]
        batched.add_batch(features, labels, None, logits)
    want = plain.figures(PairSupport(train))
    assert batched.figures(PairSupport(train)) == want
    assert sum(one["rows"] for one in want) == 40 and want[0]["to"] < want[3]["from"]


@pytest.mark.parametrize(
    "changes",
    [
        {"sequences": []},
        {"features": [{"name": "user", "role": "user", "kind": "numeric"}], "sequences": []},
    ],
)
def test_without_such_a_history_there_are_none(changes):
    data = rated_spec().to_dict() | changes
    data.pop("group", None)
    assert SupportQuartiles.of(FeatureSpec.from_dict(data)) is None
