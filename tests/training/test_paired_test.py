import numpy as np
import pytest
from scipy import stats

from lmn_tf.training.paired_test import paired_t_test, two_sided_p


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_scipy(seed):
    rng = np.random.default_rng(seed)
    count = rng.integers(2, 30)
    values, base = rng.normal(0.1 * seed, 1, count), rng.normal(0, 1, count)
    want = stats.ttest_rel(values, base)
    found = paired_t_test(values.tolist(), base.tolist())
    assert found["t"] == pytest.approx(want.statistic)
    assert found["p"] == pytest.approx(want.pvalue, rel=1e-9)
    certain = want.pvalue < 0.05
    assert found["verdict"] == (
        ("better" if want.statistic > 0 else "worse") if certain else "inconclusive"
    )


@pytest.mark.parametrize("freedom", [1, 2, 3, 9, 200])
@pytest.mark.parametrize("t", [0.0, 1e-6, 0.1, 1.0, 5.0, -40.0, 1e4])
def test_tails_agree_with_scipy(t, freedom):
    assert two_sided_p(t, freedom) == pytest.approx(2 * stats.t.sf(abs(t), freedom), rel=1e-8)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (0.7049, "inconclusive"),
        (0.6951, "inconclusive"),
        (0.7051, "better"),
        (0.6949, "worse"),
    ],
)
def test_one_seed_must_differ_by_more_than_seeds_do(value, verdict):
    assert paired_t_test([value], [0.7]) == {
        "seeds": 1,
        "difference": pytest.approx(value - 0.7),
        "deviation": None,
        "t": None,
        "p": None,
        "verdict": verdict,
    }


@pytest.mark.parametrize(
    ("values", "base", "verdict"),
    [
        ([0.75, 0.75], [0.5, 0.5], "better"),
        ([0.3, 0.1, 0.2], [0.4, 0.2, 0.3], "worse"),  # the same but for rounding
        ([0.7501, 0.7601], [0.75, 0.76], "better"),
        ([0.75, 0.5], [0.75, 0.5], "equal"),
    ],
)
def test_the_same_difference_in_all_seeds_is_no_chance(values, base, verdict):
    found = paired_t_test(values, base)
    assert (found["p"], found["verdict"], found["deviation"]) == (None, verdict, 0.0)


def test_pairs_must_be_pairs():
    with pytest.raises(ValueError, match="`values` must be as many as `base`. Received: 1 values"):
        paired_t_test([1.0], [1.0, 2.0])
