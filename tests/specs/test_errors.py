import pickle

import pytest

from lmn_tf.specs.errors import UserError, clipped, did_you_mean, nearest, short


@pytest.mark.parametrize(
    "place, text",
    [
        ({}, "no."),
        ({"file": "a.yaml"}, "a.yaml: no."),
        ({"file": "a.yaml", "line": 3}, "a.yaml:3: no."),
        ({"line": 3}, "line 3: no."),
    ],
)
def test_the_place_stands_before_the_message(place, text):
    assert str(UserError("no.", **place)) == text


def test_a_message_is_one_line():
    assert "\n" not in str(UserError("a\nb"))


def test_pickles():
    error = UserError("no.", file="a.yaml", line=3, others=(UserError("yes."),))
    copied = pickle.loads(pickle.dumps(error))
    assert str(copied) == str(error)
    assert str(copied.others[0]) == "yes."


@pytest.mark.parametrize(
    "name, names, best",
    [
        ("vocabulary_sizes", ["dim", "vocabulary_size"], "vocabulary_size"),
        ("lables", ["tables", "labels"], "labels"),
        ("USER", ["user", "item"], "user"),
        ("zzz", ["user", "item"], None),
        ("x", [], None),
        (7, ["user"], None),
    ],
)
def test_nearest(name, names, best):
    assert nearest(name, names) == best


def test_hint_lists_what_is_known_when_nothing_is_near():
    assert did_you_mean("zzz", ["a", "b"]) == " Known: `a`, `b`."
    assert did_you_mean("zzz", []) == ""
    assert did_you_mean("zzz", [f"option_{i}" for i in range(50)]) == ""


def test_short_values():
    assert short("a" * 200).endswith("...")
    assert len(short("a" * 200)) == 80
    assert short(10**5000) == "<int>"


def test_long_names_are_cut_in_messages():
    error = UserError("no file " + "x" * 5000 + "/end", file="y" * 5000 + "/a.yaml", line=3)
    assert len(str(error)) < 500
    assert "x/end" in str(error) and "y/a.yaml:3: no file xx" in str(error)
    assert error.file == "y" * 5000 + "/a.yaml"
    assert len(str(UserError("many words " * 5000))) <= 1200


def test_an_overlong_message_is_no_more_than_its_ends():
    assert clipped("a b") == "a b"
    assert clipped("x" * 199) == "x" * 199
    assert clipped("a" * 5000 + "z").startswith("aaa") and clipped("a" * 5000 + "z").endswith("az")
