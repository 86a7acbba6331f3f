import glob

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_shop import shop_spec
from tiny_run import market, trained_run

from lmn_tf.specs.errors import UserError
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.evaluation.prediction import KeyColumns, write_predictions
from lmn_tf.training.saving.run_directory import RunDirectory


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


def write(folder, *tables, **options):
    for number, table in enumerate(tables):
        pq.write_table(table, folder / f"{number}.parquet", **options)
    return f"{folder}/*.parquet"


def taken(files, names, counts):
    keys = KeyColumns(shop_spec(), files, names)
    tables = [pa.Table.from_arrays(keys.take(count), schema=keys.schema) for count in counts]
    return pa.concat_tables(tables)


@pytest.mark.parametrize("counts", [[10], [1, 9], [3, 3, 4], [5, 0, 5]])
def test_rows_in_order_over_files_and_row_groups(tmp_path, counts):
    table = pa.table({"a": range(10), "b": [f"t{i % 3}" for i in range(10)], "c": [0.5] * 10})
    files = write(tmp_path, table.slice(0, 4), table.slice(4), row_group_size=3)
    assert taken(files, ["b", "a"], counts) == table.select(["b", "a"])


def test_no_columns(tmp_path):
    files = write(tmp_path, pa.table({"a": [1]}))
    keys = KeyColumns(shop_spec(), files, [])
    assert keys.take(1) == [] and len(keys.schema) == 0


def test_a_column_that_may_not_be_null(tmp_path):
    schema = pa.schema([pa.field("user", pa.int64(), nullable=False)])
    files = write(tmp_path, pa.Table.from_arrays([[7, 8]], schema=schema))
    assert taken(files, ["user"], [2]) == pa.table({"user": [7, 8]})


@pytest.mark.parametrize(
    ("one", "other", "type_", "want"),
    [
        (pa.array([1], pa.int32()), pa.array([2**40]), pa.int64(), [1, 2**40]),
        (pa.array([1]), pa.array([0.5]), pa.float64(), [1.0, 0.5]),
        (pa.array([7]), pa.array(["007"]), pa.string(), ["7", "007"]),
        (pa.array([None], pa.null()), pa.array([3]), pa.int64(), [None, 3]),
        (pa.array(["a"]), pa.array(["b"]).dictionary_encode(), pa.string(), ["a", "b"]),
        (pa.array([["a"]]), pa.array([None], pa.list_(pa.string())), None, [["a"], None]),
    ],
)
def test_files_of_other_types(tmp_path, one, other, type_, want):
    files = write(tmp_path, pa.table({"a": one}), pa.table({"a": other}))
    found = taken(files, ["a"], [2])["a"]
    assert found.to_pylist() == want and found.type == (type_ or pa.list_(pa.string()))


def test_ids_of_csv_files_are_text_from_the_first_row(tmp_path, monkeypatch):
    monkeypatch.setattr("lmn_tf.data.formats.csv._BLOCK_BYTES", 64)
    (tmp_path / "a.csv").write_text("user\n" + "7\n" * 100 + "u7\n" + "8\n" * 100)
    found = taken(tmp_path / "a.csv", ["user"], [150, 51])["user"]
    assert found.type == pa.string()
    assert found.to_pylist() == ["7"] * 100 + ["u7"] + ["8"] * 100


def test_a_value_that_the_common_type_can_not_hold_is_refused(tmp_path):
    files = write(tmp_path, pa.table({"a": [2**53 + 1]}), pa.table({"a": [0.5]}))
    keys = KeyColumns(shop_spec(), files, ["a"])
    with pytest.raises(UserError, match=r"0.parquet: column `a` must fit .* double. Rec.* int64"):
        keys.take(1)


def test_text_files_keep_what_the_spec_does_not_know(tmp_path):
    (tmp_path / "a.csv").write_text("request,user,hour\n007,u1,3\n1e5,u2,4\n")
    found = taken(tmp_path / "a.csv", ["request", "hour"], [2])
    assert found["request"].to_pylist() == ["007", "1e5"]


def test_a_missing_column_is_named(tmp_path):
    files = write(tmp_path, pa.table({"item_id": [1]}))
    with pytest.raises(UserError, match="column `itemid` must be in the file. Did you mean `item"):
        KeyColumns(shop_spec(), files, ["itemid"])
