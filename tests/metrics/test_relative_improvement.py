import pytest

from lmn_tf.metrics import rela_impr

BASE_AUC = 0.7265

# Tables 1 and 2 of the LMN paper: AUC and its printed gain.
ROWS = {
    "Pooling": (0.7295, 1.32),
    "SIM": (0.7348, 3.66),
    "MIMN": (0.7363, 4.33),
    "LMN": (0.7371, 4.68),
    "50 keys": (0.7357, 4.06),
    "100 keys": (0.7364, 4.37),
    "200 keys": (0.7370, 4.64),
    "300 keys": (0.7371, 4.68),
    "500 keys": (0.7380, 5.08),
}
DIN = (0.7327, 2.34)


def possible(function, value, base):
    """The least and the largest gain that four-digit inputs leave open."""
    half = 0.00005
    gains = [function(value + i, base + j) for i in (-half, half) for j in (-half, half)]
    return min(gains), max(gains)


@pytest.mark.parametrize("name", ROWS)
def test_gains_are_those_the_paper_prints(name):
    auc, printed = ROWS[name]
    assert round(rela_impr(auc, BASE_AUC), 2) == printed


def test_the_paper_s_gain_of_din_does_not_follow_from_its_auc():
    auc, printed = DIN
    assert rela_impr(auc, BASE_AUC) == pytest.approx(2.7373, abs=1e-4)
    low, high = possible(rela_impr, auc, BASE_AUC)
    assert (round(low, 2), round(high, 2)) == (2.69, 2.78)
    assert not low - 0.005 <= printed <= high + 0.005


def test_gains_over_mimn_are_small():
    assert rela_impr(0.7371, 0.7363) == pytest.approx(0.34, abs=0.005)


@pytest.mark.parametrize("base", [0.5, 0.4, float("nan")])
def test_a_base_no_better_than_chance_is_refused(base):
    with pytest.raises(ValueError, match=f"`base` must be above 0.5.*base={base}"):
        rela_impr(0.7, base)
