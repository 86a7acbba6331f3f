import pytest
from spec_edits import COMPARISON, check_refused

from lmn_tf.specs.comparison_spec import Search

GRID = {"model.a": tuple(range(7)), "train.b": ("x", "y", "z")}


def test_draws_without_replacement():
    drawn = Search(trials=21, seed=3).draw(GRID)
    assert len({tuple(one.items()) for one in drawn}) == 21


def test_the_seed_decides():
    first = Search(trials=5, seed=1).draw(GRID)
    assert first == Search(trials=5, seed=1).draw(dict(reversed(GRID.items())))
    assert first != Search(trials=5, seed=2).draw(GRID)
    assert Search(trials=9, seed=1).draw(GRID)[:5] == first


def test_what_a_seed_draws_stays():
    """Runs of an earlier version must be found again."""
    drawn = Search(trials=3, seed=1).draw(GRID)
    assert [(one["model.a"], one["train.b"]) for one in drawn] == [(0, "z"), (5, "z"), (5, "y")]


def test_each_configuration_is_drawn_alike():
    grid = {"a": tuple(range(4))}
    found = [Search(trials=2, seed=seed).draw(grid) for seed in range(800)]
    for place in (0, 1):
        counts = [sum(one[place]["a"] == value for one in found) for value in range(4)]
        assert min(counts) > 150 and max(counts) < 250


def test_a_grid_must_be_as_large_as_the_budget():
    with pytest.raises(ValueError, match="must have 4 configurations or more. Received: 3"):
        Search(trials=4).draw({"a": (1, 2, 3)})


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("trials: 3", "trials: 0", "`search.trials` must be at least 1. Received: trials=0"),
        ("trials: 3", "trails: 3", "unknown key `trails` in `search`. Did you mean `trials`?"),
        ("seed: 7", "seed: -7", "`search.seed` must be at least 0. Received: seed=-7"),
        ("monitor: logloss", "monitor: loglos", "Did you mean `logloss`?"),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(COMPARISON, old, new, message, tmp_path)
