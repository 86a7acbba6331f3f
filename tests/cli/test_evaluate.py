import csv
import json

import pyarrow.parquet as pq
import pytest
from tiny_run import market, trained_run, with_unknown_items

from lmn_tf.cli.main import main


def test_the_test_set_as_json(capsys):
    assert main(["evaluate", str(trained_run())]) == 0
    out, err = capsys.readouterr()
    want = json.loads((trained_run() / "metrics.json").read_text())["test"]
    found = json.loads(out)
    assert found.keys() == want.keys()
    assert found["auc"] == pytest.approx(want["auc"], abs=1e-5)
    assert found["memory"] == pytest.approx(want["memory"], rel=1e-3)
    assert "evaluate: step 1" in err


@pytest.mark.slow  # other files are evaluated below
def test_other_files(capsys):
    data = f"{market()}/valid-*.parquet"
    assert main(["evaluate", str(trained_run()), "--data", data, "--batch-size", "50"]) == 0
    want = json.loads((trained_run() / "metrics.json").read_text())["valid"]
    assert json.loads(capsys.readouterr().out)["gauc"] == pytest.approx(want["gauc"], abs=1e-4)


def test_unknown_values_are_told(tmp_path, capsys):
    data = with_unknown_items(tmp_path / "rows.parquet")
    assert main(["evaluate", str(trained_run()), "--data", data]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["examples"] == 200
    assert err.splitlines()[-1] == "`item_id`: 3 of 200 values (1.5 %) are unknown or missing"


def test_csv_with_a_delimiter(tmp_path, capsys):
    files = sorted(market().glob("valid-*.parquet"))
    rows = [row for path in files for row in pq.read_table(path).to_pylist()]
    with open(tmp_path / "rows.csv", "w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(rows[0])
        for row in rows:
            cells = row.values()
            writer.writerow("|".join(map(str, c)) if isinstance(c, list) else c for c in cells)
    given = ["evaluate", str(trained_run()), "--data", str(tmp_path / "rows.csv")]
    assert main([*given, "--delimiter", ";"]) == 0
    want = json.loads((trained_run() / "metrics.json").read_text())["valid"]
    assert json.loads(capsys.readouterr().out)["gauc"] == pytest.approx(want["gauc"], abs=1e-4)
    assert main(given) == 2
    assert "';' in it: give it as `delimiter`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent"], "`RUN_DIR` must be the folder of a run. Received: absent, not a folder"),
        (["RUN", "--data", "absent-*"], "no file matches absent-*"),
        (["RUN", "--batch-size", "0"], "--batch-size"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, message, capsys):
    arguments = [str(trained_run()) if a == "RUN" else a for a in arguments]
    assert main(["evaluate", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and len(err.strip().splitlines()) == 1


def test_a_run_without_a_test_set_needs_data(tmp_path, capsys):
    import shutil

    import yaml

    folder = tmp_path / "run"
    shutil.copytree(trained_run(), folder)
    document = yaml.safe_load((folder / "pipeline.yaml").read_text())
    del document["data"]["test"], document["data"]["valid"]
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(document))
    assert main(["evaluate", str(folder)]) == 2
    assert "`--data` must be given" in capsys.readouterr().err
