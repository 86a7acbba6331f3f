import pytest

from lmn_tf.layers.checks import (
    check_choice,
    check_hidden_units,
    check_positive_integer,
    check_rate,
)


def test_choice_names_the_nearest():
    check_choice("pooling", "mean", ("mean", "sum"))
    with pytest.raises(ValueError, match=r"`pooling` must be one of 'mean', 'sum'\. Received: "):
        check_choice("pooling", 3, ("mean", "sum"))
    with pytest.raises(ValueError, match=r"pooling='meen'\. Did you mean 'mean'\?"):
        check_choice("pooling", "meen", ("mean", "sum"))


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3", None])
def test_positive_integer(value):
    check_positive_integer("units", 1)
    with pytest.raises(ValueError, match="`units` must be a positive integer. Received: units="):
        check_positive_integer("units", value)


def test_hidden_units():
    assert check_hidden_units("hidden_units", [8, 4]) == (8, 4)
    assert check_hidden_units("hidden_units", 8) == (8,)
    assert check_hidden_units("hidden_units", ()) == ()
    with pytest.raises(ValueError, match="`hidden_units` must be a tuple of integers. Received"):
        check_hidden_units("hidden_units", "8")
    with pytest.raises(ValueError, match=r"must hold positive integers only. Received: .*\(8, 0\)"):
        check_hidden_units("hidden_units", (8, 0))


@pytest.mark.parametrize("value", [-0.1, 1, 1.5, "a", True])
def test_rate(value):
    check_rate("dropout", 0)
    with pytest.raises(ValueError, match="`dropout` must be at least 0 and below 1. Received"):
        check_rate("dropout", value)
