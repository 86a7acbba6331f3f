"""Options of large memories and of the models that have one beside a host."""

from typing import Annotated, Literal

import pydantic

from lmn_tf.models.options.base import CTRModelOptions
from lmn_tf.models.options.histories import DINOptions, MIMNOptions, SIMOptions
from lmn_tf.models.options.record import AtLeastTwo, Options, SomeWidths, option
from lmn_tf.specs.yaml.section import Flag, NonNegative, Positive, PositiveNumber, Problem


def _as_widths(value):
    """The width of one layer as widths: models have been saved with an integer."""
    return (value,) if type(value) is int else value


_MLPWidths = Annotated[SomeWidths, pydantic.BeforeValidator(_as_widths)]


class ProductKeyMemoryOptions(Options):
    """Options of `ProductKeyMemory` that every model with a large memory has."""

    may_grow = ("num_keys", "open_keys")

    num_keys: AtLeastTwo = option(
        300, "Keys on each axis, the paper's √n; a memory has the square of it of slots."
    )
    top_k: AtLeastTwo = option(32, "Slots that a head reads for each query.")
    num_heads: Positive = option(1, "Heads that read the same values by keys of their own.")
    key_dim: Positive | None = option(
        None, "Width of a key of an axis, or `None` for the width of what queries are made from."
    )
    query_norm: Literal["batch", "layer", "none"] = option(
        "batch", "Normalization of the queries; LMN's paper has none."
    )
    key_norm: Flag = option(True, "Whether keys are layer-normalized; LMN's paper does not.")
    key_balance_weight: NonNegative = option(0.0, "Weight of the key-balance loss.")
    temperature: PositiveNumber = option(1.0, "What divides the scores of the slots.")
    memory_placement: Literal["replicated", "row_wise"] = option(
        "replicated",
        "Whether each device of a distributed run holds all values, or its share of them.",
    )
    open_keys: Positive | None = option(
        None,
        "Keys on each axis that can be read at first, `None` for all: a warm start closes those "
        "that it adds, and training opens them.",
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
    """Options of the user-aware queries that LMN and its control have in common."""

    memory_hidden_units: Annotated[SomeWidths | None, pydantic.BeforeValidator(_as_widths)] = (
        option(
            None,
            "Hidden layers of the user-aware MLP, or `None` for one of twice the history's width.",
        )
    )
    user_merge: Literal["concat", "add"] = option(
        "concat", 'How user and event are merged; `"add"` where both are equally wide.'
    )


class LargeMemoryOptions(ProductKeyMemoryOptions, UserAwareQueryOptions):
    """Options of `LargeMemory`."""

    retired = {"smooth_l1_beta": 1.0}

    memory_pooling: Literal["mean", "sum", "target_attention"] = option(
        "mean", "How the read-outs of a history are pooled."
    )
    head_merge: Literal["sum", "mean", "concat"] = option(
        "sum", "How the read-outs of the heads are merged."
    )
    memory_loss_weight: NonNegative = option(0.1, "Weight of the memory loss: the paper's α.")
    stop_gradient: Literal["target", "none", "memory_only"] = option(
        "target",
        'What the memory loss does not train: its target, nothing, or, with `"memory_only"`, all '
        "but keys and values.",
    )
    query_target: Flag = option(False, "Whether the candidate reads the memory, too.")


class EventQueryOptions(Options):
    """Options of the models whose events are queries, LMN and its control."""

    implied = {"memory_fields": "all"}

    memory_fields: Literal["event", "all"] = option(
        "event",
        "Which fields of a history make queries: those that depend on the event alone, so that "
        "equal events are equal queries and rows share them, or also elapsed time.",
    )


class MemoryPluginOptions(LargeMemoryOptions, EventQueryOptions, CTRModelOptions):
    """Options of `MemoryPlugin`."""

    memorize: Literal["history", "cross", "hidden"] = option(
        "history",
        "What reads the memory: events, the vector before the head, or the head's last hidden "
        "layer.",
    )
    memory_dim: Positive = option(
        32,
        'Width of the memory\'s values for `"cross"` and `"hidden"`; for `"history"` it is the '
        "history's.",
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


class UserAwarePoolingOptions(UserAwareQueryOptions, EventQueryOptions, DINOptions):
    """Options of `UserAwarePooling`."""

    memory_pooling: Literal["mean", "sum"] = option("mean", "How the queries are pooled.")
