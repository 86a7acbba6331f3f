import pytest
from spec_edits import EXAMPLES, PIPELINE, check_refused

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.train import Train


def test_defaults():
    train = Train()
    assert (train.epochs, train.seed, train.precision) == (1, 1, "float32")
    assert (train.checkpoint_steps, train.deterministic, train.tensorboard) == (500, True, True)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("epochs: 3", "epochs: 0", "`train.epochs` must be at least 1. Received: epochs=0"),
        ("epochs: 3", "epoch: 3", "unknown key `epoch` in `train`. Did you mean `epochs`?"),
        ("seed: 7", "seed: -7", "`train.seed` must be at least 0"),
        ("seed: 7", "seed: 4294967296", "`train.seed` must be at most 4294967295"),
        ("mixed_bfloat16", "bfloat16", "Did you mean `mixed_bfloat16`?"),
        ("clip_norm: 1.0", "clip_norm: 0", "`train.clip_norm` must be greater than 0"),
        (
            "deterministic: false",
            "deterministic: no",
            "`train.deterministic` must be true or false. Received: deterministic='no'",
        ),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(PIPELINE, old, new, message, tmp_path)


MOVIELENS = EXAMPLES / "pipelines" / "movielens_1m_lmn.yaml"


def with_fresh_tables(folder, old="", new=""):
    """The path of a pipeline with fresh tables and a change; the former are in line 5."""
    text = MOVIELENS.read_text().replace("{epochs: 1,", "{fresh_tables: true, epochs: 2,")
    path = folder / "pipeline.yaml"
    path.write_text(text.replace(old, new))
    return path


def test_tables_may_be_fresh_in_each_epoch(tmp_path):
    assert PipelineSpec.load(with_fresh_tables(tmp_path)).train.fresh_tables


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("epochs: 2", "epochs: 1", "with one epoch: tables start anew with later ones"),
        ("seed: 1", "schedule: {kind: cosine}", "with `train.schedule`, as optimizers of tables "),
        ("strategy: none", "strategy: parameter_server", "on parameter servers"),
        ("run_dir:", "warm_start: {run: runs/a}\nrun_dir:", "with `warm_start`, whose tables "),
    ],
)
def test_fresh_tables_are_refused_where_they_make_no_sense(old, new, message, tmp_path):
    path = with_fresh_tables(tmp_path, old, new)
    with pytest.raises(UserError, match=f"`train.fresh_tables` must be false {message}") as caught:
        PipelineSpec.load(path)
    assert caught.value.message.endswith("Received: fresh_tables=True")
    assert (caught.value.file, caught.value.line) == (str(path), 5)


def test_fresh_tables_are_refused_where_each_day_is_trained_on_once(tmp_path):
    path = with_fresh_tables(tmp_path, "epochs: 2", "epochs: 1")
    plain = PipelineSpec.load(MOVIELENS).to_dict()
    plain["data"] |= {"train": "{day}.csv", "valid": None}
    plain["data"]["days"] = {"first": "2024-01-01", "last": "2024-01-02"}
    plain["train"]["fresh_tables"] = True
    with pytest.raises(UserError, match="with `data.days`, each of which is trained on once. Rec"):
        PipelineSpec.from_dict(plain, file=path)
