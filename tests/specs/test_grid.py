import pytest
from spec_edits import COMPARISON, check_refused

from lmn_tf.specs.grid import configuration, overlaps, size

RATE = "train.optimizer.tables.row_wise_adagrad: [0.02, 0.1]"


def test_each_configuration_comes_once():
    grid = {"a": (1, 2), "b": ("x", "y", "z"), "c": (None,)}
    found = [configuration(grid, number) for number in range(size(grid))]
    assert len(found) == 6 and all(list(one) == ["a", "b", "c"] for one in found)
    assert len({tuple(one.items()) for one in found}) == 6


def test_a_grid_without_keys_has_one_configuration():
    assert (size({}), configuration({}, 0)) == (1, {})


def test_overlaps():
    assert overlaps(["train.schedule", "train.schedule_b", "model.a"]) == []
    assert overlaps(["a.b", "a"]) == [("a.b", "a")]


@pytest.mark.parametrize(
    "new, message",
    [
        ("train.epoch: [1]", "unknown key `epoch` in `train`. Did you mean `epochs`?"),
        (
            "train.optimizer.dens.adam: [1]",
            "unknown key `dens` in `train.optimizer`. Did you mean `dense`?",
        ),
        (
            "train.optimizer.dense.adm: [1]",
            "Received: train.optimizer.dense='adm'. Did you mean `adam`?",
        ),
        ("data.batch_size: [1]", "a key of a grid must be `model.OPTION` or `train.KEY`."),
        ("modle.dropout: [1]", "Received: 'modle.dropout'. Did you mean `model`?"),
        ("model: [1]", "a key of a grid must be `model.OPTION` or `train.KEY`."),
        ("model..a: [1]", "a key of a grid must be `model.OPTION` or `train.KEY`."),
        ("model.name: [dnn]", "`model.name` must name an option of models"),
        ("model.a.b: [1]", "`model.a.b` must name an option of models"),
        ("train.seed: [1]", "`train.seed` must be left to the seeds of the comparison."),
        ("train.deterministic: [true]", "`train.deterministic` must be left to the pipeline."),
        ("train.epochs: []", "`search.grid.train.epochs` must be a list of 1 or more."),
        ("train.epochs: 3", "`search.grid.train.epochs` must be a list."),
        ("train.epochs: [1, 2, 1.0]", "values must differ. Received: train.epochs=1.0 twice"),
        (
            "train.epochs: [1, .nan]",
            "`search.grid.train.epochs[1]` must be a finite number. Received: train.epochs=nan",
        ),
    ],
)
def test_refuses(new, message, tmp_path):
    check_refused(COMPARISON, RATE, new, message, tmp_path)


def test_refuses_one_key_within_another(tmp_path):
    inner, outer = "train.optimizer.tables.row_wise_adagrad", "train.optimizer.tables"
    message = f"`{inner}` must not be in the grid beside `{outer}`."
    check_refused(COMPARISON, RATE, f"{RATE}\n    {outer}: [{{sgd: 1}}]", message, tmp_path)


def test_true_is_not_one():
    from lmn_tf.specs.comparison_spec import Search

    assert Search(trials=1, grid={"model.a": (1, True)}).grid == {"model.a": (1, True)}
