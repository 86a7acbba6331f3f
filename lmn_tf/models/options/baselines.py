"""Options of the rows of comparisons that have no network."""

from typing import Literal

from lmn_tf.models.options.record import Options, option
from lmn_tf.specs.yaml.section import Flag, Name, Positive, PositiveNumber


class BaselineOptions(Options):
    """Options of every row without a network."""

    implied = {"history_counts": False}

    item: Name | None = option(
        None,
        "Categorical feature of role item that identifies the candidate. `None`: that of the "
        "first field of a history that is like one, otherwise the first one.",
    )
    user: Name | None = option(
        None,
        "Categorical feature that identifies the user. `None`: the user of the first history by "
        "reference, otherwise the group, otherwise all features of role user together.",
    )
    outcome: Name | None = option(
        None,
        "Field of the history with the label that each event had, 0 or 1. `None`: every event "
        "counts as a positive one.",
    )
    counts: Flag = option(
        False,
        "Whether the logs of how many training rows the item and the user have are scores as well.",
    )
    history_counts: Flag = option(
        False,
        "Whether the logs of how many events the history has, and of how many of them are the "
        "candidate, are scores as well.",
    )
    recent: Positive = option(50, "Number of newest events in the recent rate of `outcome`.")


class RatesOptions(BaselineOptions):
    """Options of `Rates`."""

    shrinkage: PositiveNumber = option(
        20.0, "Number of average rows that are added to the counts of each rate."
    )


class ItemPairsOptions(BaselineOptions):
    """Options of rows with a score of the pairs of an event and the candidate."""

    rate_shrinkage: PositiveNumber = option(
        20.0, "Number of average rows that are added to the counts of each rate."
    )
    max_items: Positive = option(
        20_000, "Number of most frequent items that have pairs; the others score 0."
    )


class SVDOptions(ItemPairsOptions):
    """Options of `SVD`."""

    rank: Positive = option(16, "Number of singular vectors.")
    shrinkage: PositiveNumber = option(
        200.0, "Constant `shrinkage` of the factor `s^2 / (s^2 + shrinkage)` of a singular value."
    )


class EASEOptions(ItemPairsOptions):
    """Options of `EASE`."""

    l2: PositiveNumber = option(1000.0, "L2 weight of the regression of each item on the others.")


class ItemKNNOptions(ItemPairsOptions):
    """Options of `ItemKNN`."""

    similarity: Literal["cosine", "mean"] = option(
        "cosine",
        "Similarity of two items: the cosine of their residuals, or the mean product over the "
        "users who have both.",
    )
    shrinkage: PositiveNumber = option(
        20.0, "Constant that is added to the denominator of a similarity."
    )
    neighbors: Positive | None = option(
        None, "Number of most similar items to keep for each candidate. `None`: all."
    )
