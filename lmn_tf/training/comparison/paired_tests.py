"""Paired t tests of a comparison, and their correction for how many there are."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence

from scipy import special

# Smaller differences of AUC between single runs are within the variation between seeds.
LEAST = 0.005

_LEVEL = 0.05

# Equal differences of figures below 1 deviate less than this, by float64 rounding.
_ROUNDING = 1e-12


def paired_t_test(values: Sequence[float], base: Sequence[float]) -> dict:
    """Tests whether the mean of `values - base` is zero, seed by seed.

    Args:
        values: Results of a model, one for each seed.
        base: Results of the base with the same seeds.

    Returns:
        Dictionary of `seeds`, `difference` (its mean), `deviation` (its standard deviation), `t`,
        `p` (two-sided) and `verdict`: `"better"` or `"worse"` if `p < 0.05`, else
        `"inconclusive"`. With fewer than two seeds, or equal differences in all seeds, `t` and `p`
        are `None`. Equal differences are decided by their sign (`"equal"` if zero), and a single
        seed by its difference if that is at least `LEAST`.

    Raises:
        ValueError: If the numbers of values differ.

    Example:

    >>> round(paired_t_test([0.71, 0.73, 0.72], [0.70, 0.70, 0.70])["p"], 4)
    0.0742
    """
    if len(values) != len(base):
        raise ValueError(
            f"`values` must be as many as `base`. Received: {len(values)} values, {len(base)} of "
            "the base"
        )
    differences = [value - base_value for value, base_value in zip(values, base, strict=True)]
    count = len(differences)
    mean = sum(differences) / count if count else float("nan")
    result = {"seeds": count, "difference": mean, "deviation": None, "t": None, "p": None}
    result["verdict"] = "inconclusive"
    if count < 2:
        if abs(mean) >= LEAST:
            result["verdict"] = _sign(mean)
        return result
    deviation = math.sqrt(sum((d - mean) ** 2 for d in differences) / (count - 1))
    result["deviation"] = deviation
    if deviation < _ROUNDING:
        result["deviation"] = 0.0
        result["verdict"] = "equal" if abs(mean) < _ROUNDING else _sign(mean)
    else:
        result["t"] = mean / (deviation / math.sqrt(count))
        result["p"] = 2 * float(special.stdtr(count - 1, -abs(result["t"])))
        result["verdict"] = _verdict(result["p"], mean)
    return result


def correct(tests: Sequence[tuple[Hashable, dict]]) -> None:
    """Corrects the p of tests for how many comparisons they make, by Holm's step-down procedure.

    The verdicts then hold together: if no model differed, there would be one or more `"better"` or
    `"worse"` with a probability of at most 0.05, however the tests depend on each other.

    Each test gets `comparisons`, the number of different ones that have a `p`, and `p_corrected`,
    by which its `verdict` is then. A test without a `p` keeps its verdict, and has `None`.

    Args:
        tests: Pairs of what a test compares and the result of `paired_t_test`, which is changed.
            Tests that compare the same count once.

    Example:

    >>> aucs = [0.71, 0.73, 0.72, 0.73]
    >>> tests = {base: paired_t_test(aucs, [base] * 4) for base in (0.7, 0.69)}
    >>> correct(list(tests.items()))
    >>> for test in tests.values():
    ...     print(f"{test['p']:.3f}, of {test['comparisons']}: {test['p_corrected']:.3f}")
    0.018, of 2: 0.018
    0.007, of 2: 0.013

    Reference:
        Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
        Statistics 6(2), 1979. Corrected p: Wright, "Adjusted p-values for simultaneous inference",
        Biometrics 48(4), 1992.
    """
    p = _holm({compared: test["p"] for compared, test in tests if test["p"] is not None})
    for compared, test in tests:
        test |= {"comparisons": len(p), "p_corrected": None}
        if test["p"] is not None:
            test["p_corrected"] = p[compared]
            test["verdict"] = _verdict(p[compared], test["difference"])


def comparisons_text(tests: Iterable[Mapping | None]) -> str:
    """Returns the number of comparisons that tests are corrected for, with its noun.

    Args:
        tests: Results of `paired_t_test` that `correct` has changed, or `None`.

    Example:

    >>> comparisons_text([None, {"comparisons": 7}]), comparisons_text([None])
    ('7 comparisons', '')
    """
    count = max((test["comparisons"] for test in tests if test), default=0)
    return f"{count} comparison{'s' * (count > 1)}" if count else ""


def _holm(p: Mapping[Hashable, float]) -> dict[Hashable, float]:
    """Returns the least level at which Holm's procedure rejects each hypothesis."""
    found, least = {}, 0.0
    for done, key in enumerate(sorted(p, key=p.get)):
        least = max(least, min(1.0, (len(p) - done) * p[key]))
        found[key] = least
    return found


def _verdict(p: float, difference: float) -> str:
    return _sign(difference) if p < _LEVEL else "inconclusive"


def _sign(difference: float) -> str:
    return "better" if difference > 0 else "worse"
