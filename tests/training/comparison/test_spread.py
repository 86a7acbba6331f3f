from lmn_tf.metrics.figures import FIGURES
from lmn_tf.training.comparison.spread import spread, spread_cell


def test_cells():
    auc = FIGURES["auc"]
    assert spread_cell(spread([0.7, 0.72]), auc) == "0.7100 ± 0.0141"
    assert spread_cell(spread([0.7]), auc) == spread_cell(spread([0.7, 0.7]), auc) == "0.7000"
    assert spread_cell(spread([0.7, None]), auc) == spread_cell(spread([]), auc) == "-"
