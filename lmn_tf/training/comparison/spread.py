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


def paired_values(
    spread: Mapping, seeds: Sequence[int], base: Mapping, base_seeds: Sequence[int]
) -> tuple[list[float], list[float]]:
    """Returns the values of both spreads with the seeds that both have, in the same order.

    Args:
        spread: Result of `spread`.
        seeds: Seed of each of its values.
        base: Result of `spread`.
        base_seeds: Seed of each of its values.

    Example:

    >>> paired_values(spread([0.5, 0.75]), [1, 3], spread([0.25, 0.5, 1.0]), [1, 2, 3])
    ([0.5, 0.75], [0.25, 1.0])
    """
    of_base = dict(zip(base_seeds, base["values"], strict=True))
    values = dict(zip(seeds, spread["values"], strict=True))
    common = [seed for seed in values if seed in of_base]
    return [values[seed] for seed in common], [of_base[seed] for seed in common]


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
