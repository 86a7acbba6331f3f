import json
import shutil

import pytest
from tiny_run import document, market, trained_run

from lmn_tf.cli.main import main
from lmn_tf.specs.yaml import strict_yaml


@pytest.fixture
def run(tmp_path):
    shutil.copytree(trained_run(), tmp_path / "run")
    return tmp_path / "run"


def test_tells_what_the_memory_holds(run, capsys):
    assert main(["inspect", str(run), "--rows", "100", "--top", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    one = report["memories"]["history_memory"]
    assert (one["memory_size"], len(one["top_slots"])) == (36, 2)
    assert list(one["top_slots"][0]["readers"]) == ["item_id", "category", "segment"]
    folder = run / "inspect"
    assert json.loads((folder / "inspect.json").read_text()) == report
    assert (folder / "inspect.txt").read_text().startswith("lmn: history_memory\n36 slots (6 x 6")
    assert (folder / "history_memory.png").exists()


def test_mistakes_are_told_in_one_line(run, tmp_path, capsys):
    assert main(["inspect", str(run), "--data", "absent-*"]) == 2
    assert "no file matches absent-*" in capsys.readouterr().err
    plain = document(run) | {"model": {"name": "din"}}
    (run / "pipeline.yaml").write_text(strict_yaml.dump(plain))
    assert main(["inspect", str(run)]) == 2
    err = capsys.readouterr().err
    assert "must hold a model with a memory of slots: lmn, lmn_sim, lmn_mimn, msn, " in err
    plain["data"] = {"train": f"{market()}/train-*.parquet"}
    plain["model"] = {"name": "lmn"}
    (run / "pipeline.yaml").write_text(strict_yaml.dump(plain))
    assert main(["inspect", str(run)]) == 2
    assert "`--data` must be given: the pipeline of" in capsys.readouterr().err
