import glob

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_run import market, trained_run

from lmn_tf.specs.errors import UserError
from lmn_tf.training.evaluation import Evaluator
from lmn_tf.training.prediction import write_predictions
from lmn_tf.training.run_directory import RunDirectory


@pytest.fixture(scope="module")
def run():
    directory = RunDirectory.open(trained_run())
    return directory.load_model(), directory.load_spec()


def test_a_row_for_each_row_in_order(run, tmp_path):
    from lmn_tf.data.dataset import make_dataset

    model, spec = run
    table = pq.read_table(glob.glob(f"{market()}/test-*.parquet")[0])
    # Several files and row groups, and no label column.
    table = table.drop_columns(["click"])
    pq.write_table(table.slice(0, 100), tmp_path / "b.parquet", row_group_size=30)
    pq.write_table(table.slice(100), tmp_path / "c.parquet", row_group_size=41)
    output = tmp_path / "scores.parquet"
    count = write_predictions(model, spec, f"{tmp_path}/*.parquet", output, batch_size=37)
    scores = pq.read_table(output)
    assert count == scores.num_rows == table.num_rows
    assert scores.column_names == ["user_id", "click"]
    assert scores["user_id"].to_pylist() == table["user_id"].to_pylist()
    data = make_dataset(spec, f"{market()}/test-*.parquet", batch_size=500)
    want = np.concatenate(list(Evaluator(model).predict(data)))[:, 0]
    np.testing.assert_allclose(scores["click"].to_numpy(), want, atol=1e-6)
    assert [path.name for path in tmp_path.glob(".partial*")] == []


def test_chosen_columns_and_a_group_that_may_not_be_null(run, tmp_path):
    table = pq.read_table(glob.glob(f"{market()}/test-*.parquet")[0]).slice(0, 20)
    fields = [field.with_nullable(False) for field in table.schema]
    pq.write_table(table.cast(pa.schema(fields)), tmp_path / "a.parquet")
    output = tmp_path / "scores"
    write_predictions(*run, tmp_path / "a.parquet", output, columns=["item_id", "user_id"])
    scores = pq.read_table(output)
    assert scores.column_names == ["user_id", "item_id", "click"]
    assert scores.select([0, 1]).to_pydict() == table.select(["user_id", "item_id"]).to_pydict()


@pytest.mark.parametrize(
    ("column", "match"),
    [("click", "`--columns` must name no label, .* Received: click"), ("itemid", "`itemid` must")],
)
def test_columns_that_cannot_be_written_are_refused(run, tmp_path, column, match):
    with pytest.raises(UserError, match=match):
        write_predictions(*run, f"{market()}/test-*.parquet", tmp_path / "a", columns=[column])
    assert list(tmp_path.iterdir()) == []


def test_files_without_rows_are_refused_and_nothing_is_written(run, tmp_path):
    table = pq.read_table(glob.glob(f"{market()}/test-*.parquet")[0])
    pq.write_table(table.slice(0, 0), tmp_path / "none.parquet")
    with pytest.raises(UserError, match="none.parquet: the file must hold at least one row"):
        write_predictions(*run, tmp_path / "none.parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("output", [".", "absent/scores.parquet"])
def test_a_place_that_cannot_be_written_is_refused(run, tmp_path, output):
    with pytest.raises(UserError, match="`--output` must be a file in a folder that exists"):
        write_predictions(*run, f"{market()}/test-*.parquet", tmp_path / output)
