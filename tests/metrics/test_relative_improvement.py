import pytest

from lmn_tf.metrics import logloss_improvement, rela_impr

BASE_AUC, BASE_LOSS = 0.7265, 0.6075

# Tables 1 and 2 of the LMN paper: AUC, its printed gain, LogLoss, its printed change.
ROWS = {
    "Pooling": (0.7295, 1.32, 0.6053, -0.36),
    "SIM": (0.7348, 3.66, 0.6009, -1.09),
    "MIMN": (0.7363, 4.33, 0.5991, -1.39),
    "LMN": (0.7371, 4.68, 0.5986, -1.46),
    "50 keys": (0.7357, 4.06, 0.5997, -1.28),
    "100 keys": (0.7364, 4.37, 0.5993, -1.35),
    "200 keys": (0.7370, 4.64, 0.5987, -1.45),
    "300 keys": (0.7371, 4.68, 0.5986, -1.46),
    "500 keys": (0.7380, 5.08, 0.5978, -1.60),
}
DIN = (0.7327, 2.34, 0.6023, -0.86)


def possible(function, value, base):
    """The least and the largest gain that four-digit inputs leave open."""
    half = 0.00005
    gains = [function(value + i, base + j) for i in (-half, half) for j in (-half, half)]
    return min(gains), max(gains)


@pytest.mark.parametrize("name", ROWS)
def test_gains_are_those_the_paper_prints(name):
    auc, printed, _, _ = ROWS[name]
    assert round(rela_impr(auc, BASE_AUC), 2) == printed


@pytest.mark.parametrize("name", [*ROWS, "DIN"])
def test_loss_changes_are_those_the_paper_prints_up_to_rounding(name):
    _, _, loss, printed = {**ROWS, "DIN": DIN}[name]
    assert logloss_improvement(loss, BASE_LOSS) == pytest.approx(printed, abs=0.01)
    low, high = possible(logloss_improvement, loss, BASE_LOSS)
    assert low - 0.005 <= printed <= high + 0.005


def test_the_paper_s_gain_of_din_does_not_follow_from_its_auc():
    auc, printed, _, _ = DIN
    assert rela_impr(auc, BASE_AUC) == pytest.approx(2.7373, abs=1e-4)
    low, high = possible(rela_impr, auc, BASE_AUC)
    assert (round(low, 2), round(high, 2)) == (2.69, 2.78)
    assert not low - 0.005 <= printed <= high + 0.005


def test_gains_over_mimn_are_small():
    assert rela_impr(0.7371, 0.7363) == pytest.approx(0.34, abs=0.005)
    assert logloss_improvement(0.5986, 0.5991) == pytest.approx(-0.08, abs=0.005)


@pytest.mark.parametrize("base", [0.5, 0.4, float("nan")])
def test_a_base_no_better_than_chance_is_refused(base):
    with pytest.raises(ValueError, match=f"`base` must be above 0.5.*base={base}"):
        rela_impr(0.7, base)


def test_a_base_without_loss_is_refused():
    with pytest.raises(ValueError, match="`base` must be above zero. Received: base=0"):
        logloss_improvement(0.5, 0)
