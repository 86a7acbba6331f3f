import pytest
from spec_edits import FEATURES, check_refused

from lmn_tf.specs.lookup import Learn, Lookup


@pytest.mark.parametrize(
    "lookup, method, size",
    [
        (Lookup(identity=24), "identity", 26),
        (Lookup(hash=10), "hash", 12),
        (Lookup(vocabulary=("a", "b")), "vocabulary", 4),
        (Lookup(vocabulary="genres.txt"), "vocabulary", None),
        (Lookup(learn=Learn()), "learn", None),
    ],
)
def test_method_and_size(lookup, method, size):
    assert (lookup.method, lookup.size) == (method, size)


@pytest.mark.parametrize(
    "new, message",
    [
        (
            "{hash: 9, identity: 3}",
            "`lookup` must have exactly one of `vocabulary`, `learn`, `hash`, `identity`.",
        ),
        ("{unknown: padding}", "Received: none of them"),
        ("{hash: 0}", "`features[0].lookup.hash` must be at least 1."),
        ("{identity: 2147483646}", "`features[0].lookup.identity` must be at most 2147483645."),
        ("{vocabulary: []}", "`features[0].lookup.vocabulary` must be a list of 1 or more."),
        ("{vocabulary: [a, a]}", "`vocabulary` must not repeat. Received: 'a' twice"),
        ("{vocabulary: [a, 1]}", "`vocabulary` must be all text or all integers."),
        ("{vocabulary: [1.5]}", "`features[0].lookup.vocabulary[0]` must be an integer or text."),
        ("{vocabulary: 3}", "`features[0].lookup.vocabulary` must be text or a list."),
        ("{hash: 3, unknown: padd}", "Did you mean `padding`?"),
    ],
)
def test_refuses(new, message, tmp_path):
    check_refused(FEATURES, "{hash: 1000}", new, message, tmp_path)


INTEGER = "an integer"


def test_defaults():
    assert Learn() == Learn(min_count=1, max_size=None)


@pytest.mark.parametrize("value, rule", [("0", "at least 1"), ("1.5", INTEGER), ("null", INTEGER)])
def test_counts_are_positive_integers(value, rule, tmp_path):
    message = f"`features[7].lookup.learn.min_count` must be {rule}. Received: min_count="
    check_refused(FEATURES, "{min_count: 2", f"{{min_count: {value}", message, tmp_path)
