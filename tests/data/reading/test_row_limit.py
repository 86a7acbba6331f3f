import numpy as np
import pytest

from lmn_tf.data.reading.row_limit import RowLimit
from lmn_tf.specs.pipeline_spec import PipelineSpec


@pytest.mark.parametrize(
    ("rows", "total", "count"),
    [(7, 10, 7), (7, 5, 5), ("10%", 1000, 100), ("0.1%", 5, 1), ("100%", 3, 3), ("2.5%", 1000, 25)],
)
def test_counts(rows, total, count):
    assert RowLimit(rows).count(total) == count
    drawn = RowLimit(rows, seed=4).drawn(total)
    assert drawn is None if count == total else len(set(drawn.tolist())) == count


def test_fewer_rows_are_part_of_more():
    kept = [set(RowLimit(f"{share}%", 5).drawn(997).tolist()) for share in (5, 10, 25, 50)]
    assert all(few < many for few, many in zip(kept, kept[1:], strict=False))


def test_each_seed_draws_its_own_rows_from_everywhere():
    drawn = [RowLimit("10%", seed).drawn(10_000) for seed in range(20)]
    assert all((np.diff(rows) > 0).all() for rows in drawn)
    shared = np.intersect1d(drawn[0], drawn[1])
    assert 60 < len(shared) < 140  # a tenth of a tenth
    assert np.mean(np.concatenate(drawn)) == pytest.approx(5_000, abs=100)


def test_the_first_rows_are_not_drawn():
    assert RowLimit("10%").drawn(100) is None


def test_none_is_refused():
    with pytest.raises(ValueError, match="`limit` must be at least 1. Received: limit=0"):
        RowLimit(0)


@pytest.mark.parametrize(
    ("data", "limit"),
    [
        ({}, None),
        ({"train_rows": 5}, RowLimit(5)),
        ({"train_rows": "5%", "draw_rows": True}, RowLimit("5%", 7)),
    ],
)
def test_of_a_pipeline(data, limit):
    pipeline = {
        "pipeline_version": 1,
        "feature_spec": "a.yaml",
        "data": {"train": "a-*.parquet", **data},
        "model": {"name": "dnn"},
        "train": {"seed": 7},
        "run_dir": "run",
    }
    assert RowLimit.of_training(PipelineSpec.from_dict(pipeline)) == limit
