import pytest
from spec_edits import FEATURES, check_refused

from lmn_tf.specs.feature_spec import Table


def test_defaults():
    table = Table(dim=4)
    assert (table.combiner, table.initializer, table.regularizer) == ("mean", "normal", 0.0)
    assert (table.placement, table.optimizer) == ("replicated", None)
    assert table.initializer_scale == 0.05


@pytest.mark.parametrize(
    "old, new, message",
    [
        (
            "initializer: uniform",
            "initializer_scale: 0",
            "`tables.item.initializer_scale` must be greater than 0. Received: initializer_scale=0",
        ),
        (
            "regularizer: 1e-6",
            "regularizer: -1",
            "`tables.item.regularizer` must be at least 0. Received: regularizer=-1",
        ),
        (
            "regularizer: 1e-6",
            "regularizer: .nan",
            "`tables.item.regularizer` must be a finite number.",
        ),
        ("placement: row_wise", "placement: rowwise", "Did you mean `row_wise`?"),
        ("{row_wise_adagrad: 0.1}", "{rowwise_adagrad: 0.1}", "Did you mean `row_wise_adagrad`?"),
        (
            "{row_wise_adagrad: 0.1}",
            "{}",
            "`optimizer` must name exactly one optimizer. Received: none",
        ),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(FEATURES, old, new, message, tmp_path)
