"""Mean and standard deviation of a figure over seeds."""

import statistics
from collections.abc import Mapping, Sequence

from lmn_tf.metrics.figures import Figure


def spread(values: Sequence[float | None]) -> dict | None:
    """Returns `mean`, `sd` (`None` for a single value) and `values`; `None` if one is missing.

    Example:

    >>> spread([0.5, 0.75])["mean"], spread([0.5, None]), spread([0.5])["sd"]
    (0.625, None, None)
    """
    if not values or any(value is None for value in values):
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "sd": deviation, "values": list(values)}


def spread_cell(spread: Mapping | None, figure: Figure) -> str:
    """Returns a spread as a cell of a table: mean ± standard deviation.

    Args:
        spread: Result of `spread`.
        figure: `Figure` whose values these are.
    """
    if spread is None:
        return "-"
    text = figure.cell(spread["mean"])
    return text if not spread["sd"] else f"{text} ± {figure.cell(spread['sd'])}"
