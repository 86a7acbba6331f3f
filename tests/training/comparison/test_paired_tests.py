import numpy as np
import pytest
from scipy import stats

from lmn_tf.training.comparison.paired_tests import comparisons_text, correct, paired_t_test


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


def results(p, difference=1.0):
    return [{"p": value, "difference": difference, "verdict": "before"} for value in p]


def corrected(p):
    """Corrected p of different comparisons."""
    tests = results(p)
    correct(list(enumerate(tests)))
    return [test["p_corrected"] for test in tests]


def rejected(p, level):
    """Which hypotheses the procedure rejects at a level, in the words of Holm (1979)."""
    left = set(range(len(p)))
    while left:
        smallest = min(left, key=lambda index: p[index])
        if p[smallest] > level / len(left):
            break
        left.remove(smallest)
    return set(range(len(p))) - left


@pytest.mark.parametrize("seed", range(20))
def test_a_corrected_p_is_the_least_level_of_rejection(seed):
    rng = np.random.default_rng(seed)
    p = np.round(rng.uniform(0, 0.3, rng.integers(1, 12)), 2).tolist()  # some are equal
    for index, found in enumerate(corrected(p)):
        assert found == 1 or index in rejected(p, found * (1 + 1e-9))  # 1: at no level
        assert found == 0 or index not in rejected(p, found * (1 - 1e-9))


def test_a_worked_example():
    # Of the documentation of Pingouin's `multicomp`, method "holm".
    assert corrected([0.50, 0.003, 0.32, 0.054, 0.0003]) == pytest.approx(
        [0.64, 0.012, 0.64, 0.162, 0.0015]
    )


def test_a_published_trial():
    # Benjamini & Hochberg (1995), section 4: Bonferroni's and Hochberg's procedures, between which
    # Holm's is, both reject three of these at 0.05.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262]
    p += [0.5719, 0.6528, 0.7590, 1.0000]
    assert [value < 0.05 for value in corrected(p)] == [True] * 3 + [False] * 12


def test_the_verdict_is_by_the_corrected_p():
    tests = results([0.03, 0.01], difference=-0.1) + results([None])
    correct(list(enumerate(tests)))
    assert tests[0] == {
        "p": 0.03,
        "p_corrected": 0.03,
        "comparisons": 2,
        "difference": -0.1,
        "verdict": "worse",
    }
    assert (tests[1]["p_corrected"], tests[1]["verdict"]) == (0.02, "worse")
    assert (tests[2]["p_corrected"], tests[2]["verdict"]) == (None, "before")
    assert tests[2]["comparisons"] == 2
    tests = results([0.03, 0.04])
    correct(list(enumerate(tests)))
    assert [test["verdict"] for test in tests] == ["inconclusive"] * 2
    assert comparisons_text([None, *tests]) == "2 comparisons"


def test_the_same_comparison_counts_once():
    tests = results([0.03, 0.03, 0.04])
    correct(list(zip(("a", "a", "b"), tests, strict=True)))
    assert [test["p_corrected"] for test in tests] == [0.06, 0.06, 0.06]
    assert comparisons_text(tests[:1]) == "2 comparisons"
    correct([("a", tests[0]), ("a", tests[1])])
    assert [test["p_corrected"] for test in tests[:2]] == [0.03, 0.03]
    assert comparisons_text(tests[:2]) == "1 comparison"


def test_without_a_p_there_is_no_comparison():
    tests = results([None])
    correct([("a", tests[0])])
    assert comparisons_text(tests) == "" and comparisons_text([]) == ""
