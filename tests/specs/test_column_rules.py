import pytest
from spec_edits import FEATURES, check_refused

from lmn_tf.specs.column_rules import check_column
from lmn_tf.specs.feature import Feature


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("kind: vector, size: 3", "kind: vector", "`size` must be given for kind vector"),
        ("{hash: 1000}}", "null}", "`lookup` must be given for kind categorical. Received: noth"),
        (
            "transform: min_max",
            "lookup: {hash: 3}",
            "`lookup` must be given for kind categorical or multi_value or cross only.",
        ),
        ("transform: min_max", "of: [a, b]", "`of` must be given for kind cross only"),
        (
            "transform: min_max",
            "num_buckets: 3",
            "`num_buckets` must be given for kind elapsed_time only.",
        ),
        (
            "transform: min_max",
            "table: item",
            "`table` must be given for a numeric column only with `bucketize`.",
        ),
        (
            "default: 30",
            "default: old",
            "`default` of a numeric column must be a number. Received: default='old'",
        ),
        (
            "default: 12",
            "default: 24",
            "`default` must be an integer in [0, 24), as `identity` says.",
        ),
        (
            "default: 12",
            "default: noon",
            "`default` must be an integer in [0, 24), as `identity` says.",
        ),
        ("default: se", "default: dk", "`default` must be in the vocabulary. Received: default="),
        (
            "default: 2}",
            "default: 1.5}",
            "`default` of a multi_value column must be text or an integer. Received: default=1.5",
        ),
        ("[age, tags]", "[age]", "`of` must name two features or more. Received: ['age']"),
        ("[age, tags]", "[age, age]", "`of` must not repeat. Received: 'age' twice"),
        ("{hash: 50}", "{identity: 50}", "`lookup` of a cross must be `hash`. Received: identity"),
        (
            "of: [age, tags]",
            "column: a, of: [age, tags]",
            "`column` must not be given for kind cross, which is made of features.",
        ),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(FEATURES, old, new, message, tmp_path)


def test_accepts_a_default_that_is_written_out():
    check_column(Feature(name="a", role="user", kind="numeric", max_values=16, separator="|"))
