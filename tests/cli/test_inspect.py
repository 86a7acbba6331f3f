import json
import shutil

import pytest
from tiny_run import document, inspected_pairs, market, pair_run, trained_run

from lmn_tf.cli.main import main
from lmn_tf.models import registry
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.training.inspection import inspected_run
from lmn_tf.training.saving.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path):
    shutil.copytree(trained_run(), tmp_path / "run")
    return tmp_path / "run"


def test_tells_what_the_memory_holds(run, capsys):
    assert main(["inspect", str(run), "--rows", "100", "--top", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    one = report["memories"]["history_memory"]
    assert (one["memory_size"], len(one["top_slots"])) == (36, 2)
    assert set(one["top_slots"][0]["readers"]) == {"item_id", "category", "segment"}
    folder = run / "inspect"
    assert json.loads((folder / "inspect.json").read_text()) == report
    assert (folder / "inspect.txt").read_text().startswith("lmn: history_memory\n36 slots (6 x 6")
    assert (folder / "inspect_history_memory.png").exists()


def test_each_option_shows_its_view(run, capsys, monkeypatch):
    opened = inspected_run.InspectedRun(RunDirectory.open(run), rows=100)
    monkeypatch.setattr(inspected_run, "InspectedRun", lambda *_: opened)
    users = tuple(dict.fromkeys(opened.names.users))[:2]
    user, item = opened.names.users[0], opened.names.items[0]
    for arguments, name, line in (
        (["--users", *users], "users_{}_{}".format(*users), "shared: "),
        (["--user", user, "--item", item], f"row_{user}_{item}", "without all of them: "),
        (["--slot", "7"], "slot_7", "nearest keys:"),
    ):
        assert main(["inspect", str(run), *arguments, "--top", "2"]) == 0
        shown = capsys.readouterr().out
        text = (run / "inspect" / f"{name}.txt").read_text()
        assert line in text and shown.startswith(text)
        files = f"{name}.json, {name}.txt, {name}_history_memory.png"
        assert shown.splitlines()[-1] == f"{run / 'inspect'}: {files}"


def test_a_memory_of_pairs_has_views_of_its_own(tmp_path, capsys, monkeypatch):
    run = shutil.copytree(pair_run(), tmp_path / "run")
    opened = inspected_pairs()
    monkeypatch.setattr(inspected_run, "InspectedRun", lambda *_: opened)
    user, item = opened.names.users[0], opened.names.items[0]
    for arguments, name, line in (
        ([], "inspect", "largest values:"),
        (["--user", user, "--item", item], f"row_{user}_{item}", "without all of them: "),
    ):
        assert main(["inspect", str(run), *arguments, "--top", "2"]) == 0
        shown = capsys.readouterr().out
        text = (run / "inspect" / f"{name}.txt").read_text()
        assert text.startswith("lmn_pair: ") and line in text and shown.startswith(text)
        report = json.loads((run / "inspect" / f"{name}.json").read_text())
        assert list(report["pairs"]) == ["history_pairs"] and "memories" not in report
        assert (run / "inspect" / f"{name}_history_pairs.png").exists()
    for option in (["--slot", "1"], ["--users", "1", "2"]):
        assert main(["inspect", str(run), *option]) == 2
        message = f"`{option[0]}` must be left out for memories of pairs"
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--user", "3"], "`--user` and `--item` must be given together. Received: --user alone"),
        (["--item", "3"], "`--user` and `--item` must be given together. Received: --item alone"),
        (
            ["--users", "1", "2", "--slot", "0"],
            "`--users`, `--user` with `--item`, and `--slot` must be given one at a time. "
            "Received: --users and --slot",
        ),
    ],
)
def test_options_of_one_view_are_given_at_a_time(run, capsys, arguments, message):
    assert main(["inspect", str(run), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_mistakes_are_told_in_one_line(run, tmp_path, capsys):
    assert main(["inspect", str(run), "--data", "absent-*"]) == 2
    assert "no file matches absent-*" in capsys.readouterr().err
    plain = document(run)
    plain["data"] = {"train": f"{market()}/train-*.parquet"}
    (run / "pipeline.yaml").write_text(strict_yaml.dump(plain))
    assert main(["inspect", str(run)]) == 2
    assert "`--data` must be given: the pipeline of" in capsys.readouterr().err


def test_a_model_without_a_memory_is_refused(run, capsys):
    spec = RunDirectory.open(run).load_spec()
    model = registry.build("dnn", spec, {"hidden_units": [8]})
    model.build()
    model.save(run / "model.keras")
    plain = document(run) | {"model": {"name": "dnn"}}
    (run / "pipeline.yaml").write_text(strict_yaml.dump(plain))
    assert main(["inspect", str(run)]) == 2
    err = capsys.readouterr().err
    assert (
        "must hold a model with a memory of slots: lmn, lmn_sim, lmn_mimn, lmn_pair, msn, " in err
    )
    assert "or one of your own with their layers. Received: model dnn" in err
