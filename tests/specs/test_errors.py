import pickle

import pytest

from lmn_tf.specs.errors import UserError, did_you_mean, nearest, short


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
