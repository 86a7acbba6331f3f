import json
import shutil
import subprocess
import sys

import pytest
from small_shop import shop_rows, shop_spec, write_parquet
from spec_edits import COMPARISON, EXAMPLES, FEATURES, PIPELINE

from lmn_tf.cli.check import check_file
from lmn_tf.cli.main import main
from lmn_tf.data.learning.vocabulary import learn
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.learned.spec_folder import write_spec

MOVIELENS = EXAMPLES / "feature_specs" / "movielens_1m.yaml"


@pytest.fixture
def copied(tmp_path):
    """A copy of the example files, to be edited."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    return tmp_path / "examples"


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


@pytest.mark.parametrize(
    "path, words",
    [
        (FEATURES, "valid feature spec `everything`: 2 labels, 15 features, 2 sequences"),
        (MOVIELENS, "valid feature spec `movielens-1m`: 1 label, 6 features, 1 sequence"),
        (PIPELINE, "valid pipeline: model `din` on "),
        (COMPARISON, "valid comparison: 3 models, 3 seeds"),
    ],
)
def test_valid_files(path, words, capsys):
    assert main(["check", str(path)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{path}: {words}")
    assert err == ""


def test_committed_files_are_valid(root, monkeypatch):
    monkeypatch.chdir(root)
    for path in sorted([*root.glob("feature_specs/*.yaml"), *root.glob("pipelines/*.yaml")]):
        check_file(path)


def test_json(capsys):
    assert main(["check", str(MOVIELENS), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["kind"], told["labels"]) == (True, "feature spec", ["like"])
    assert main(["check", str(PIPELINE), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "din"


def test_new_data_of_a_run_have_its_ids(tmp_path, capsys):
    rows, _ = shop_rows(60)
    spec = shop_spec()
    learn(spec, write_parquet(tmp_path, rows))
    write_spec(spec, tmp_path / "run")
    newer = [{**row, "user": "stranger" if index < 9 else "u1"} for index, row in enumerate(rows)]
    files = write_parquet(tmp_path, newer, stem="new")
    assert main(["check", str(tmp_path / "run" / "feature_spec.yaml"), "--data", files]) == 0
    out = capsys.readouterr().out
    assert "note: column `user`: 9 of 60 values of `user` are unknown or missing (id 1).\n" in out
    assert main(["check", str(tmp_path / "run/feature_spec.yaml"), "--data", files, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["data"]
    assert report["batch"][0]["user"] == "unknown→1"


def test_json_of_mistakes(copied, capsys):
    path = copied / "feature_specs" / "movielens_1m.yaml"
    line = edit(path, "kind: categorical", "knd: categorical")
    edit(path, "max_length: 200", "max_length: 0")
    assert main(["check", str(path), "--json"]) == 2
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["ok"] is False
    assert told["problems"][0]["line"] == line
    assert len(told["problems"]) == 2
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "file, old, new, message",
    [
        ("movielens_1m_lmn", "top_k: 32", "topk: 32", "Did you mean `top_k`?"),
        ("movielens_1m_lmn", "top_k: 32", "top_k: many", "`top_k` of model `lmn` must be an integ"),
        ("movielens_1m_lmn", "name: lmn", "name: lmm", "Did you mean `lmn`?"),
        (
            "movielens_1m_lmn",
            "specs/movielens_1m",
            "specs/movilens",
            "Did you mean `.*movielens_1m",
        ),
        ("movielens_1m_lmn", "../feature_specs/movielens_1m", "comparison", "a comparison"),
        ("comparison", "name: dnn", "name: dn", "Did you mean `dnn`?"),
        ("comparison", "name: dnn", "name: rate", "Did you mean `rates`?"),
        (
            "comparison",
            "name: dnn",
            "name: svd, rank: x",
            "`rank` of model `svd` must be an intege",
        ),
        (
            "comparison",
            "name: dnn",
            "name: rates, outcome: lik",
            "`outcome` must be a categorical field",
        ),
        ("movielens_1m_lmn", "name: lmn", "name: rates", "`num_keys` must be an option of model"),
        ("comparison", "num_keys: 300", "num_key: 300", "Did you mean `num_keys`?"),
        ("comparison", "epochs: 2", "epoch: 2", "model `DIN`: unknown key `epoch` in `train`"),
        ("comparison", "pipeline: movielens_1m_lmn", "pipeline: none", "path of a pipeline"),
    ],
)
def test_mistakes_in_what_a_pipeline_names(file, old, new, message, copied):
    path = copied / "pipelines" / f"{file}.yaml"
    line = edit(path, old, new)
    with pytest.raises(UserError, match=message) as caught:
        check_file(path)
    assert (caught.value.file, caught.value.line) == (str(path), line)


def test_a_mistake_in_the_feature_spec_is_told_of_that_file(copied):
    line = edit(copied / "feature_specs" / "movielens_1m.yaml", "role: user", "role: usr")
    for name in ("movielens_1m_lmn", "comparison"):
        with pytest.raises(UserError, match=f"movielens_1m.yaml:{line}: .*Did you mean `user`"):
            check_file(copied / "pipelines" / f"{name}.yaml")


def test_early_stopping_by_group_needs_a_group(copied):
    edit(copied / "feature_specs" / "everything.yaml", "group: session\n", "")
    path = copied / "pipelines" / "everything.yaml"
    line = edit(path, "monitor: gauc", "monitor:  gauc")
    with pytest.raises(UserError, match="`train.early_stopping.monitor` must be auc") as caught:
        check_file(path)
    assert (caught.value.file, caught.value.line) == (str(path), line)


def test_vocabulary_files_are_read(copied):
    (copied / "feature_specs" / "vocabularies" / "genres.txt").unlink()
    path = copied / "feature_specs" / "movielens_1m.yaml"
    with pytest.raises(UserError, match="yaml:15: `vocabulary` of `genres`: .*file must exist"):
        check_file(path)


def test_vocabulary_files_of_fields_are_read(copied):
    path = copied / "feature_specs" / "everything.yaml"
    line = edit(path, "lookup: {learn: {}}", "lookup: {vocabulary: none.txt}")
    with pytest.raises(UserError, match=f"yaml:{line}: `vocabulary` of `action`: "):
        check_file(path)


@pytest.fixture
def data(tmp_path):
    """A glob of rows that the tiny spec `spec.yaml` beside them fits."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = {"click": [0, 1] * 10, "hour": list(range(20)), "age": [30.5] * 20}
    parquet.write_table(pa.table(rows), tmp_path / "rows.parquet")
    (tmp_path / "spec.yaml").write_text(
        "spec_version: 1\nname: tiny\nlabels:\n  - {name: click}\nfeatures:\n"
        "  - {name: hour, role: context, kind: categorical, lookup: {identity: 24}}\n"
        "  - {name: age, role: user, kind: numeric}\n"
    )
    return str(tmp_path / "*.parquet")


def test_data_that_fit_are_shown_decoded(data, tmp_path, capsys):
    assert main(["check", str(tmp_path / "spec.yaml"), "--data", data]) == 0
    out = capsys.readouterr().out
    assert "20 rows fit" in out
    assert "30.5" in out
    assert main(["check", str(tmp_path / "spec.yaml"), "--data", data, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["data"]
    assert told["rows"] == 20 and "errors" not in told


def test_a_delimiter(data, tmp_path, capsys):
    (tmp_path / "rows.csv").write_text("click;hour;age\n0;7;1.5\n1;23;2.5\n")
    command = ["check", str(tmp_path / "spec.yaml"), "--data", str(tmp_path / "rows.csv")]
    assert main([*command, "--delimiter", ";"]) == 0
    assert "2 rows fit" in capsys.readouterr().out
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert "column `hour` must be in the file." in out + err and "';'" in out + err
    assert main([*command, "--delimiter", ";;"]) == 2
    assert "`delimiter` must be one ASCII character" in capsys.readouterr().err


def test_a_delimiter_of_no_data(data, tmp_path, capsys):
    assert main(["check", str(tmp_path / "spec.yaml"), "--delimiter", ";"]) == 2
    assert "`--delimiter` must come with `--data`. Received: ';'" in capsys.readouterr().err


@pytest.fixture
def pipeline(data, tmp_path, monkeypatch):
    """A pipeline of these rows, and the rows of a validation set that may be replaced."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "valid.csv").write_text("click;hour;age\n0;7;1.5\n1;23;2.5\n")
    (tmp_path / "pipeline.yaml").write_text(
        "pipeline_version: 1\nfeature_spec: spec.yaml\nrun_dir: runs/x\nmodel: {name: dnn}\n"
        'data:\n  train: rows.parquet\n  valid: valid.csv\n  test: later.csv\n  delimiter: ";"\n'
    )
    return tmp_path / "pipeline.yaml"


def test_data_that_do_not_exist_yet_are_told(pipeline, tmp_path, capsys):
    note = "no file matches `test` of `data` yet: later.csv"
    assert main(["check", str(pipeline)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [f"note: {note}"]
    assert main(["check", str(pipeline), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == [note]
    (tmp_path / "valid.csv").rename(tmp_path / "later.csv")
    assert main(["check", str(pipeline)]) == 0
    note = "no file matches `valid` of `data` yet: valid.csv"
    assert capsys.readouterr().out.splitlines()[1:] == [f"note: {note}"]


def test_a_market_that_will_be_generated_is_not_missed(root, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", str(root / "pipelines" / "quickstart.yaml")]) == 0
    assert "note:" not in capsys.readouterr().out


def test_the_columns_of_data_that_exist_are_checked(pipeline, tmp_path, capsys):
    assert main(["check", str(pipeline)]) == 0
    edit(tmp_path / "valid.csv", "click;", "clicked;")
    assert main(["check", str(pipeline)]) == 2
    assert (
        f"{pipeline}:7: `valid` of `data`: valid.csv: column `click` must be in the file. Did you "
        "mean `clicked`? Received: 3 other columns" in capsys.readouterr().err
    )
    edit(tmp_path / "spec.yaml", "name: hour", "name: our")
    assert main(["check", str(pipeline)]) == 2
    err = capsys.readouterr().err
    assert f"{pipeline}:6: `train` of `data`: rows.parquet: column `our` must be in the" in err


def test_a_path_may_have_the_characters_of_a_glob(pipeline, tmp_path, capsys):
    (tmp_path / "x[1]").mkdir()
    (tmp_path / "valid.csv").rename(tmp_path / "x[1]" / "valid.csv")
    edit(pipeline, "valid.csv", '"x[1]/valid.csv"')
    assert main(["check", str(pipeline)]) == 0
    assert "`valid`" not in capsys.readouterr().out
    edit(tmp_path / "x[1]" / "valid.csv", "click;", "clicked;")
    assert main(["check", str(pipeline)]) == 2
    assert "x[1]/valid.csv: column `click` must be in the file." in capsys.readouterr().err


def test_the_columns_of_the_first_day_are_checked(pipeline, tmp_path, capsys):
    edit(pipeline, "  valid: valid.csv\n", "  days: {first: 2024-01-01, last: 2024-01-02}\n")
    edit(pipeline, "rows.parquet", '"{day}.csv"')
    assert main(["check", str(pipeline)]) == 0
    (tmp_path / "2024-01-01.csv").write_text("hour;age\n7;1.5\n")
    assert main(["check", str(pipeline)]) == 2
    assert "2024-01-01.csv: column `click` must be in the file." in capsys.readouterr().err


def test_rows_have_the_delimiter_of_the_pipeline(pipeline, capsys):
    assert main(["check", str(pipeline), "--data", "valid.csv"]) == 0
    assert "2 rows fit" in capsys.readouterr().out


def test_a_wrong_outcome_of_pairs_is_refused(copied):
    path = copied / "pipelines" / "comparison.yaml"
    model = "name: lmn_pair, pair_values: ease, outcome: like"
    line = edit(path, "name: dnn", model)
    with pytest.raises(UserError, match="`outcome` must be a field of the num") as caught:
        check_file(path)
    assert (caught.value.file, caught.value.line) == (str(path), line)


def test_data_that_do_not_fit_are_refused(data, tmp_path, capsys):
    path = tmp_path / "spec.yaml"
    edit(path, "name: hour,", "name: our,")
    edit(path, "name: age,", "name: ages,")
    assert main(["check", str(path), "--data", data]) == 2
    out, err = capsys.readouterr()
    assert "column `our` must be in the file. Did you mean `hour`?" in err
    assert err.count("\n") == 1
    assert "column `ages` must be in the file. Did you mean `age`?" in out
    assert main(["check", str(path), "--data", data, "--json"]) == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [problem["file"] for problem in problems] == [str(tmp_path / "rows.parquet")] * 2
    assert problems[0]["message"].startswith("column `our` must be in the file.")


CODE = """
import sys
from lmn_tf.cli.main import main
status = main(["check", sys.argv[1]])
heavy = {"tensorflow", "keras", "numpy", "pyarrow", "rich"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else status)
"""


@pytest.mark.parametrize("path", [FEATURES, PIPELINE, COMPARISON], ids=lambda path: path.stem)
def test_needs_no_tensorflow(path, root):
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(path)], capture_output=True, text=True, cwd=root
    )
    assert done.returncode == 0, done.stderr


def test_the_days_of_a_pipeline_are_told(tmp_path, capsys):
    from tiny_run import document

    from lmn_tf.specs.yaml import strict_yaml

    plain = document(tmp_path / "run", epochs=1)
    plain["data"] = {
        "train": "logs/{day}.parquet",
        "days": {"first": "2024-02-28", "last": "2024-03-01"},
    }
    (tmp_path / "daily.yaml").write_text(strict_yaml.dump(plain))
    assert main(["check", str(tmp_path / "daily.yaml")]) == 0
    told, note = capsys.readouterr().out.splitlines()
    assert told.endswith(", 2024-02-28 to 2024-03-01 (3 days)")
    assert note == "note: no file matches `train` of `data` yet: logs/2024-02-28.parquet"
