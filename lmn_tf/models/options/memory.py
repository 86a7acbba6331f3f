"""Options of large memories and of models that add one to a host."""

from typing import Annotated, Literal

import pydantic

from lmn_tf.models.options.base import CTRModelOptions, PoolingKind, StrongPoolingOptions
from lmn_tf.models.options.histories import (
    DINOptions,
    MIMNOptions,
    SIMOptions,
    TwoTowerOptions,
)
from lmn_tf.models.options.record import AtLeastTwo, Options, SomeWidths, option
from lmn_tf.specs.yaml.section import (
    Flag,
    NonNegative,
    Positive,
    PositiveNumber,
    Problem,
)


def _as_widths(value):
    """Converts an integer, as in earlier saved models, to the widths of one layer."""
    return (value,) if type(value) is int else value


_MLPWidths = Annotated[SomeWidths, pydantic.BeforeValidator(_as_widths)]


class ProductKeyMemoryOptions(Options):
    """Options of `ProductKeyMemory` that every model with a large memory has."""

    may_grow = ("num_keys", "open_keys")

    num_keys: AtLeastTwo = option(
        300, "Number of keys of each axis, √n in the paper; the memory has `num_keys ** 2` slots."
    )
    top_k: AtLeastTwo = option(32, "Number of slots that a head reads for each query.")
    num_heads: Positive = option(
        1, "Number of heads, which have separate keys and read the same values."
    )
    key_dim: Positive | None = option(
        None, "Width of a key of an axis, or `None` for the width of the inputs of queries."
    )
    query_norm: Literal["batch", "layer", "none"] = option(
        "batch", "Normalization of the queries; none in the paper of LMN."
    )
    key_norm: Flag = option(True, "Whether keys are layer-normalized; not in the paper of LMN.")
    key_balance_weight: NonNegative = option(0.0, "Weight of the key-balance loss.")
    temperature: PositiveNumber = option(1.0, "Divisor of the scores of the slots.")
    memory_placement: Literal["replicated", "row_wise"] = option(
        "replicated",
        "Placement in distributed training: all values on each device, or a share of the rows.",
    )
    open_keys: Positive | None = option(
        None,
        "Number of keys of each axis that can be read at first, or `None` for all. A warm start "
        "closes the keys that it adds, and training opens them.",
    )

    def check(self) -> None:
        super().check()
        if self.open_keys is not None and self.open_keys > self.num_keys:
            raise Problem(
                ("open_keys",),
                f"`open_keys` must be at most `num_keys`, {self.num_keys}. "
                f"Received: open_keys={self.open_keys}",
            )


class UserAwareQueryOptions(Options):
    """Options of the user-aware queries of LMN and its control."""

    memory_hidden_units: Annotated[SomeWidths | None, pydantic.BeforeValidator(_as_widths)] = (
        option(
            None,
            "Widths of the hidden layers of the user-aware MLP, or `None` for one layer of twice "
            "the width of the history.",
        )
    )
    user_merge: Literal["concat", "add"] = option(
        "concat", 'Merge of user and event; `"add"` needs equal widths.'
    )


class LargeMemoryOptions(ProductKeyMemoryOptions, UserAwareQueryOptions):
    """Options of `LargeMemory`."""

    retired = {"smooth_l1_beta": 1.0}

    memory_pooling: Literal["mean", "sum", "sqrtn", "target_attention"] = option(
        "mean", "Pooling of the read-outs of a history."
    )
    head_merge: Literal["sum", "mean", "concat"] = option(
        "sum", "Merge of the read-outs of the heads."
    )
    memory_loss_weight: NonNegative = option(0.1, "Weight of the memory loss, α in the paper.")
    stop_gradient: Literal["target", "none", "memory_only"] = option(
        "target",
        'Inputs of the memory loss without gradient: its target, none, or with `"memory_only"` all '
        "except keys and values.",
    )
    query_target: Flag = option(False, "Whether the candidate is also a query of the memory.")


class EventQueryOptions(Options):
    """Options of LMN and its control, in which events are queries."""

    implied = {"memory_fields": "all"}

    memory_fields: Literal["event", "all"] = option(
        "event",
        "Fields of a history in queries: those that depend on the event only, so that equal events "
        "are equal queries that rows share, or all fields, including elapsed time.",
    )


class MemoryPluginOptions(LargeMemoryOptions, EventQueryOptions, CTRModelOptions):
    """Options of `MemoryPlugin`."""

    memorize: Literal["history", "cross", "hidden"] = option(
        "history",
        "Queries of the memory: events, the input of the head, or the last hidden layer of the "
        "head.",
    )
    memory_dim: Positive = option(
        32,
        'Width of the values for `"cross"` and `"hidden"`; for `"history"`, it is that of the '
        "history.",
    )

    def check(self) -> None:
        super().check()
        if self.memorize == "history":
            return
        if self.memorize == "hidden" and self.num_experts:
            raise Problem(
                ("num_experts",),
                "`num_experts` must be 0 for `memorize='hidden'`: experts have no common hidden "
                f"layer. Received: num_experts={self.num_experts}",
            )
        if self.memory_pooling == "target_attention" or self.query_target:
            raise Problem(
                ("memorize",),
                f"`memory_pooling` and `query_target` must be left alone for "
                f"`memorize={self.memorize!r}`: one vector a row reads. Received: "
                f"memory_pooling={self.memory_pooling!r}, query_target={self.query_target}",
            )


class LMNOptions(MemoryPluginOptions, DINOptions):
    """Options of `LMN`."""


class LMNSIMOptions(MemoryPluginOptions, SIMOptions):
    """Options of `LMNSIM`."""


class LMNMIMNOptions(MemoryPluginOptions, MIMNOptions):
    """Options of `LMNMIMN`."""


class LMNTwoTowerOptions(MemoryPluginOptions, TwoTowerOptions):
    """Options of `LMNTwoTower`."""

    def check(self) -> None:
        super().check()
        if self.memory_pooling == "target_attention" or self.query_target:
            key = "query_target" if self.query_target else "memory_pooling"
            raise Problem(
                (key,),
                f"`{key}` must not read the candidate, which the query tower does not know. "
                f"Received: {key}={getattr(self, key)!r}",
            )


_PairValues = Literal["trained", "ease"]
_PairReadings = Literal["one", "several"]


class PairMemoryOptions(CTRModelOptions):
    """Options of `PairMemoryPlugin`."""

    retired = {"pair_outcome": None}
    implied = {"pair_readings": "one"}

    pair_slots: Positive | None = option(
        None,
        "Number of values, to which pairs are hashed, or `None` for one of each pair.",
    )
    pair_pooling: PoolingKind = option("sum", "Pooling of the values of a history.")
    pair_rows: Literal["ids", "keys"] = option(
        "ids", "Rows of the values: ids of events, or keys that the vectors of events select."
    )
    pair_columns: Literal["ids", "keys"] = option(
        "ids", "Columns of the values: ids of candidates, or keys that their vectors select."
    )
    pair_keys: AtLeastTwo = option(64, "Number of keys of an axis.")
    pair_top_k: AtLeastTwo = option(4, "Number of keys of an axis that a vector selects.")
    pair_values: _PairValues = option(
        "trained",
        "Values of pairs: trained with the model, from 0; or those of the closed-form regression "
        "of each item on all others, which are written when the training of the host has ended. "
        "Its events have the labels of `outcome`, a field that is crossed with that of the items.",
    )
    pair_readings: _PairReadings = option(
        "one",
        'Readings of `pair_values="ease"`: the pooled values; or also their sum in which newer '
        "events count more, the largest and the smallest value, each with a weight of its own.",
    )
    pair_l2: PositiveNumber = option(1000.0, 'L2 weight of the regression of `pair_values="ease"`.')
    memory_placement: Literal["replicated", "row_wise"] = option(
        "replicated",
        "Placement in distributed training: all values on each device, or a share of the rows.",
    )

    def check(self) -> None:
        super().check()
        axes = [key for key in ("pair_rows", "pair_columns") if getattr(self, key) == "keys"]
        if axes and self.pair_values != "trained":
            raise Problem(
                (axes[0],),
                f'`{axes[0]}` must be "ids" unless `pair_values` is "trained". '
                f"Received: {axes[0]}='keys', pair_values={self.pair_values!r}",
            )
        if axes and self.pair_slots is not None:
            raise Problem(
                ("pair_slots",),
                "`pair_slots` must be left out where rows or columns are keys: pairs of keys are "
                f"not hashed. Received: pair_slots={self.pair_slots}",
            )

    @property
    def reads_outcome(self) -> bool:
        return self.rates or self.pair_values == "ease"


class LMNPairOptions(PairMemoryOptions, StrongPoolingOptions):
    """Options of `LMNPair`."""

    implied = {"counts": False}

    pair_values: _PairValues = "ease"
    pair_pooling: PoolingKind = "sqrtn"
    pair_readings: _PairReadings = "several"


class UserAwarePoolingOptions(UserAwareQueryOptions, EventQueryOptions, DINOptions):
    """Options of `UserAwarePooling`."""

    memory_pooling: PoolingKind = option("mean", "Pooling of the queries.")
