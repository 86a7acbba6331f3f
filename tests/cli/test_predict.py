import pyarrow.parquet as pq
import pytest
from tiny_run import market, trained_run, with_unknown_items

from lmn_tf.cli.main import main


def test_writes_a_row_for_each_row(tmp_path, capsys):
    data, output = f"{market()}/test-*.parquet", tmp_path / "scores.parquet"
    status = main(["predict", str(trained_run()), "--data", data, "--output", str(output)])
    scores = pq.read_table(output)
    assert status == 0 and scores.column_names == ["user_id", "click"]
    assert capsys.readouterr().out == f"{scores.num_rows:,} rows written to {output}\n"
    assert 0 < min(scores["click"].to_pylist()) <= max(scores["click"].to_pylist()) < 1


def test_writes_chosen_columns(tmp_path, capsys):
    data = with_unknown_items(tmp_path / "rows.parquet")
    output = tmp_path / "scores.parquet"
    arguments = ["--data", data, "--output", str(output), "--columns", "item_id, hour"]
    assert main(["predict", str(trained_run()), *arguments]) == 0
    told = "`item_id`: 3 of 200 values (1.5 %) are unknown or missing"
    assert told in capsys.readouterr().err.splitlines()
    assert pq.read_table(output).column_names == ["user_id", "item_id", "hour", "click"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "x"], "--data"),
        (["--data", "absent-*", "--output", "x"], "no file matches absent-*"),
        (["--data", "DATA", "--output", "absent/x"], "`--output` must be a file in a folder that"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, message, capsys):
    arguments = [f"{market()}/test-*.parquet" if a == "DATA" else a for a in arguments]
    assert main(["predict", str(trained_run()), *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and len(err.strip().splitlines()) == 1
