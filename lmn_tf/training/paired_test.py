"""Whether two models differ over the same seeds."""

import math
from collections.abc import Sequence

# Below this, differences of the AUC between single runs are those between seeds.
LEAST = 0.005

_LEVEL = 0.05

# Differences of figures below 1 that are the same but for float64 rounding spread less than this.
_ROUNDING = 1e-12


def paired_t_test(values: Sequence[float], base: Sequence[float]) -> dict:
    """Tests whether the mean of `values - base` is zero, seed by seed.

    Args:
        values: Results of a model, one for each seed.
        base: Results of the base with the same seeds.

    Returns:
        Dictionary of `seeds`, `difference` (its mean), `deviation` (its standard deviation), `t`,
        `p` (two-sided) and `verdict`: `"better"` or `"worse"` where `p < 0.05`, else
        `"inconclusive"`. Less than two seeds, or differences without any spread, leave `t` and
        `p` None. Differences that are the same in all seeds leave nothing to chance: the verdict
        is their sign, `"equal"` where they are zero. One seed is judged by its difference, which
        must be `LEAST` or more.

    Raises:
        ValueError: When there are not as many values as values of the base.

    Example:

    >>> round(paired_t_test([0.71, 0.73, 0.72], [0.70, 0.70, 0.70])["p"], 4)
    0.0742
    """
    if len(values) != len(base):
        raise ValueError(
            f"`values` must be as many as `base`. Received: {len(values)} values, {len(base)} of "
            "the base"
        )
    differences = [value - other for value, other in zip(values, base, strict=True)]
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
        result["p"] = two_sided_p(result["t"], count - 1)
        if result["p"] < _LEVEL:
            result["verdict"] = _sign(mean)
    return result


def _sign(difference: float) -> str:
    return "better" if difference > 0 else "worse"


def two_sided_p(t: float, freedom: int) -> float:
    """Returns `P(|T| >= |t|)` of Student's distribution.

    Args:
        t: The statistic.
        freedom: Degrees of freedom.

    Returns:
        The probability `I_x(freedom / 2, 1 / 2)` with `x = freedom / (freedom + t ** 2)`, the
        regularised incomplete beta function.
    """
    x = freedom / (freedom + t * t)
    return _incomplete_beta(freedom / 2, 0.5, x)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    # The continued fraction converges fast on this side of the mean only.
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _incomplete_beta(b, a, 1.0 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log_front + a * math.log(x) + b * math.log1p(-x)) / a
    return front / _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction `1 + d_1 / (1 + d_2 / (1 + ...))`, from the back."""
    value = 1.0
    for n in range(300, 0, -1):
        m = n // 2
        if n % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        value = 1.0 + d / value
    return value
