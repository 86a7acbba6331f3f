"""Thousands of damaged files: each loads, or gives a `UserError`, and nothing else."""

import copy
import math
import random
from pathlib import Path

import pytest

from lmn_tf.specs import spec_file
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.yaml import strict_yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    *sorted((Path(__file__).parent / "examples").rglob("*.yaml")),
    *sorted((ROOT / "feature_specs").glob("*.yaml")),
    *sorted((ROOT / "pipelines").glob("*.yaml")),
]
WEIRD = [
    None, True, False, 0, 1, -1, 2, 2**31, 2**63, -(10**90), 0.0, -0.5, 1e308, math.nan, math.inf,
    -math.inf, "", " ", "x", "user", "item_id", "history", "group", "mask", "${NO_SUCH_VARIABLE}",
    "a/b", "a.b", "é" * 200, "\n", [], [[]], [None], [True], ["user", "user"], [3, 2, 1], {},
    {"": 1}, {"x": {}}, {"hash": 3}, {"hash": True}, {"quantiles": 1.5}, {"bucketize": []},
    {"min_max": [1, 0]}, {"adam": None}, {"name": []},
]  # fmt: skip
SNIPPETS = [
    "\t", "  ", "\n", ": ", "- ", "{", "}", "[", "]", "#", "'", '"', "&a ", "*a", "<<: {a: 1}",
    "!!python/name:os.system ", "!x ", "|", ">", "?", "---\n", "...\n", "%YAML 1.1\n", "\x00",
    "\x07", "\u2028", "\ufeff", ",", "null", "true", ".nan", ".inf", "1e999", "9" * 120, "@", "`",
    "[" * 60, "{a: " * 40, "\r", "é",
]  # fmt: skip


def outcome(source, load):
    """Returns the spec, or `None` for a `UserError`; every other exception fails the test."""
    try:
        return load(source)
    except UserError as error:
        assert str(error).strip(), "a message must say something"
        assert "\n" not in str(error)
        assert "pydantic" not in str(error)
        return None


def places(tree, path=()):
    """Yields the path of everything inside a tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def mutate_tree(tree, rng):
    """Returns a copy of a tree with one to three things removed, replaced, renamed or moved."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.randint(1, 3)):
        paths = list(places(tree))
        if not paths:
            return tree
        path = rng.choice(paths)
        owner = tree
        for key in path[:-1]:
            owner = owner[key]
        key, action = path[-1], rng.choice(["remove", "replace", "rename", "copy", "swap"])
        if action == "remove":
            del owner[key]
        elif action == "replace":
            owner[key] = copy.deepcopy(rng.choice(WEIRD))
        elif action == "rename" and isinstance(owner, dict):
            owner[rng.choice([str(key) + "s", str(key)[:-1], "name", "x"])] = owner.pop(key)
        elif action == "copy" and isinstance(owner, list):
            owner.append(copy.deepcopy(owner[key]))
        else:
            other = tree
            for part in rng.choice(paths):
                other = other[part]
            owner[key] = copy.deepcopy(other)
    return tree


def mutate_text(text, rng):
    """Returns a text with one to three slices removed, doubled or replaced by YAML's own signs."""
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice([0, 1, 1, 2, 5, 40]))
        middle = rng.choice([rng.choice(SNIPPETS), "", text[start:end] * 2])
        text = text[:start] + middle + text[end:]
    return text


def spec_class(path):
    return type(spec_file.load(path)[1])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_damaged_trees_load_or_are_refused(path):
    rng = random.Random(str(path.name))
    cls, (data, marks) = spec_class(path), strict_yaml.load(path)
    loaded, rounds = 0, 3000 // len(FILES)
    for _ in range(rounds):
        spec = outcome(
            mutate_tree(data, rng), lambda tree: cls.from_dict(tree, path.parent, path, marks)
        )
        if spec is not None:
            loaded += 1
            written = strict_yaml.dump(spec.to_dict())
            assert cls.from_dict(strict_yaml.loads(written)[0]) == spec
    assert loaded < rounds


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_damaged_texts_load_or_are_refused(path, tmp_path):
    rng = random.Random(str(path.name))
    text, damaged = path.read_text(encoding="utf-8"), tmp_path / "damaged.yaml"
    for other in path.parent.glob("*.yaml"):  # A pipeline may have one of them as its base.
        (tmp_path / other.name).symlink_to(other)
    for _ in range(1500 // len(FILES)):
        damaged.write_text(mutate_text(text, rng), encoding="utf-8", newline="")
        outcome(damaged, spec_file.load)


def test_damaged_bytes_load_or_are_refused(tmp_path):
    rng = random.Random(3)
    raw, damaged = bytearray(FILES[0].read_bytes()), tmp_path / "damaged.yaml"
    for _ in range(300):
        copied = bytearray(raw)
        for _ in range(rng.randint(1, 4)):
            copied[rng.randrange(len(copied))] = rng.randrange(256)
        damaged.write_bytes(copied[: rng.choice([len(copied), rng.randrange(len(copied))])])
        outcome(damaged, spec_file.load)
