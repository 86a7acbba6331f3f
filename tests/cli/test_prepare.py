import json

import pytest
from click.testing import CliRunner

from lmn_tf.cli.main import main
from lmn_tf.cli.prepare import prepare
from lmn_tf.data.encoding.arrow_values import TIME_UNITS


@pytest.fixture
def log(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    lines = [f"{user},{item},{user + item},c" for user in range(6) for item in range(user, 12)]
    (folder / "log.csv").write_text("user_id,item_id,time,category\n" + "\n".join(lines) + "\n")
    return folder


def arguments(log, output, *more):
    named = ["--user", "user_id", "--item", "item_id", "--time", "time", "--category", "category"]
    return ["interactions", "--input", str(log), "--output", str(output), *named, *more]


def test_prints_steps_and_report(log, tmp_path):
    result = CliRunner().invoke(prepare, arguments(log, tmp_path / "out"))
    assert result.exit_code == 0, result.output
    assert "read log.csv" in result.stderr
    assert result.stdout == (tmp_path / "out" / "report.md").read_text()


def test_json(log, tmp_path):
    result = CliRunner().invoke(prepare, arguments(log, tmp_path / "out", "--json", "--seed", "3"))
    report = json.loads(result.stdout)
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["options"]["seed"] == 3 and report["options"]["category"] == ["category"]


def test_one_file_with_a_delimiter(log, tmp_path):
    file = log / "log.csv"
    file.write_text(file.read_text().replace(",", ";"))
    result = CliRunner().invoke(prepare, arguments(file, tmp_path / "out", "--delimiter", ";"))
    assert result.exit_code == 0, result.output
    assert "- Cells are parted by ';'." in result.stdout


def test_synthetic_is_generated(tmp_path):
    made = ["--set", "users=50", "--set", "items=30", "--set", "rows=500", "--seed", "2"]
    result = CliRunner().invoke(prepare, ["synthetic", "--output", str(tmp_path / "out"), *made])
    assert result.exit_code == 0, result.output
    assert sum(json.loads(result.stdout)["rows"].values()) == 500


def test_settings_are_read_as_all_other_yaml(tmp_path):
    """By YAML 1.1, `1e-1` is text."""
    made = ["--set", "users=50", "--set", "items=30", "--set", "rows=500", "--set", "taste=1e-1"]
    result = CliRunner().invoke(prepare, ["synthetic", "--output", str(tmp_path / "out"), *made])
    assert result.exit_code == 0, result.output


def test_a_synthetic_market_replaces_a_prepared_folder_only_by_request(log, tmp_path, capsys):
    output = tmp_path / "out"
    assert main(["prepare", *arguments(log, output)]) == 0
    before = sorted(output.iterdir())
    made = ["--set", "users=50", "--set", "items=30", "--set", "rows=500"]
    command = ["prepare", "synthetic", "--output", str(output), *made]
    assert main(command) == 2
    assert "`output` must be empty or new, unless `overwrite`" in capsys.readouterr().err
    assert sorted(output.iterdir()) == before and (output / "events.arrow").exists()
    assert main([*command, "--overwrite"]) == 0
    files = [f"{name}-00000.parquet" for name in ("test", "train", "valid")]
    assert sorted(path.name for path in output.iterdir()) == sorted(
        [*files, "oracle.json", "report.json"]
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["movielens"], "`DATASET` must be a data set: .*synthetic. .*Did you mean `movielens-1m`"),
        (["mind"], "`--input` must name the folder with the files of mind"),
        (["mind", "--input", ".", "--set", "rows=5"], "`--set` must come with synthetic or"),
        (["synthetic", "--input", "."], "`--input` must not come with synthetic"),
        (["synthetic", "--threads", "2"], "`--threads` must not come with synthetic"),
        (
            ["synthetic", "--seed", "1", "--set", "seed=2"],
            "`--seed` must not come with `--set` of it. Received: 'seed=2'",
        ),
        (
            ["a:b", "--input", ".", "--max-history", "9", "--set", "max_history=8"],
            "`--max-history` must not come with `--set` of it. Received: 'max_history=8'",
        ),
        (["synthetic", "--set", "rows"], "`--set` must be KEY=VALUE. Received: 'rows'"),
        (["synthetic", "--set", "rows=["], "`--set rows=\\[`: file must be valid YAML"),
    ],
)
def test_mistakes_take_one_line_and_status_2(tmp_path, capsys, given, message):
    import re

    status = main(["prepare", *given, "--output", str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert status == 2 and said.count("\n") == 1
    assert re.search(message, said)


def test_help_has_an_example():
    result = CliRunner().invoke(prepare, ["--help"])
    assert "lmn-tf prepare movielens-1m --input ml-1m" in result.output


def test_help_names_every_unit_of_times():
    result = CliRunner().invoke(prepare, ["--help"])
    assert all(unit in result.output for unit in TIME_UNITS)
