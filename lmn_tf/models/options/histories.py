"""Options of models that read histories by attention, recurrence, search or walks."""

from typing import Annotated, Literal

import pydantic

from lmn_tf.models.options.base import (
    BatchSoftmaxOptions,
    CTRModelOptions,
    PoolingKind,
    PoolingOptions,
)
from lmn_tf.models.options.record import Activation, Share, SomeWidths, Widths, option
from lmn_tf.specs.yaml.section import (
    AnyText,
    Flag,
    Natural,
    NonNegative,
    Positive,
    PositiveNumber,
    Problem,
)

_EvenWidth = Annotated[int, pydantic.Field(strict=True, ge=2, le=2**63 - 1, multiple_of=2)]


class DINOptions(BatchSoftmaxOptions):
    """Options of `DIN`."""

    attention: Flag = option(
        True,
        "Whether histories are read by target attention; otherwise they are pooled, as in "
        "`Pooling`.",
    )
    attention_units: SomeWidths = option(
        (80, 40), "Widths of the hidden layers of the attention unit."
    )
    attention_activation: Activation = option("sigmoid", "Activation of the attention unit.")
    attention_weights: Literal["softmax", "raw"] = option(
        "softmax",
        "Weights of the attention: a softmax of the scores, or the scores, as in the paper.",
    )
    add_pooling: Flag = option(False, "Whether the pooled history is also an input of the head.")
    pooling: PoolingKind = option(
        "mean", "Pooling of the history for `add_pooling` and without attention."
    )


class DIENOptions(CTRModelOptions):
    """Options of `DIEN`."""

    variant: Literal["augru", "released", "agru", "aigru"] = option(
        "augru",
        'Form of the weighted unit: `"augru"` as published, `"released"` as in the code '
        'published with it, `"agru"` or `"aigru"`.',
    )
    attention: Literal["bilinear", "mlp"] = option(
        "bilinear", "Attention: `h_t W v`, as in the paper, or the attention unit of DIN."
    )
    attention_units: SomeWidths = option(
        (80, 40), "Widths of the hidden layers of the attention unit of DIN."
    )
    attention_activation: Activation = option("sigmoid", "Activation of the attention unit.")
    auxiliary_units: Widths = option(
        (100, 50),
        "Widths of the hidden layers of the auxiliary network; `()` for an inner product.",
    )
    auxiliary_weight: NonNegative = option(
        1.0,
        "Weight of the auxiliary loss; 0 disables it. The released code halves the click loss, so "
        "that 2 has the same ratio.",
    )
    add_pooling: Flag = option(
        False,
        "Whether the summed history and its product with the candidate are also inputs of the "
        "head, as in the released code.",
    )


class MIMNOptions(CTRModelOptions):
    """Options of `MIMN`."""

    num_slots: Positive = option(4, "Number of slots of the memory of a user.")
    controller_units: Positive | None = option(
        None, "Width of the state of the controller, or `None` for the width of the history."
    )
    num_read_heads: Positive = option(1, "Number of heads that read the memory.")
    num_write_heads: Positive = option(1, "Number of heads that write the memory.")
    utilization: Literal["paper", "released", "none"] = option(
        "paper",
        "Balancing of writes over the slots: as in the paper, as in the released code, or none.",
    )
    utilization_weight: NonNegative = option(
        1e-05,
        "Weight of the loss that balances writes. The released code has 0.001, for another form of "
        "the loss.",
    )
    induction_top_k: Natural = option(
        1, "Number of channels updated per step, at most `num_slots`; 0 disables induction."
    )
    attention_units: SomeWidths = option(
        (80, 40), "Widths of the hidden layers of the attention to the channels."
    )
    static_keys: Flag = option(False, "Whether slots also have trained keys.")
    auxiliary_units: Widths = option(
        (100, 50),
        "Widths of the hidden layers of the auxiliary network, as in DIEN; `()` for an inner "
        "product.",
    )
    auxiliary_weight: NonNegative = option(
        0.0, "Weight of the auxiliary loss, on the outputs of the memory; 0 disables it."
    )

    @property
    def reads_outcome(self) -> bool:
        return False  # the state of a user, which servers keep, does not count events

    def check(self) -> None:
        super().check()
        if self.induction_top_k > self.num_slots:
            raise Problem(
                ("induction_top_k",),
                f"`induction_top_k` must be from 0 to `num_slots`, {self.num_slots}. "
                f"Received: induction_top_k={self.induction_top_k}",
            )


class SIMOptions(DINOptions):
    """Options of `SIM`."""

    search: Literal["soft", "hard"] = option(
        "soft", 'Search of events: by a product with the candidate, or by an id with `"hard"`.'
    )
    search_field: AnyText | None = option(
        None,
        "Item feature whose ids are compared by hard search; lists match if they share an id. "
        "`None` for the feature with the fewest ids among those that fields of the sequence are "
        "`like` (our choice).",
    )
    search_top_k: Positive = option(50, "Number of events that the search selects.")
    short_length: Positive = option(50, "Number of newest events that DIN reads.")
    search_units: Positive = option(64, "Width of the projections of the search.")
    search_hidden_units: Widths = option(
        (200, 80), "Widths of the hidden layers of the prediction of the search."
    )
    search_loss_weight: NonNegative = option(
        1.0, "Weight of the loss of the search, α in the paper."
    )
    found_units: Positive = option(
        64, "Width of the attention to selected events, a multiple of `found_heads`."
    )
    found_heads: Positive = option(2, "Number of heads of the attention to selected events.")

    def check(self) -> None:
        super().check()
        if self.softmax_weight:
            raise _not_alone(self, "softmax_weight", "SIM, whose search has a loss of its own")
        if self.search != "hard" and self.search_field is not None:
            reason = f"`search={self.search!r}`, which compares no ids"
            raise _not_alone(self, "search_field", reason)
        if self.found_units % self.found_heads:
            raise Problem(
                ("found_units",),
                "`found_units` must be divisible by `found_heads`. "
                f"Received: found_units={self.found_units}, found_heads={self.found_heads}",
            )


class SASRecOptions(CTRModelOptions):
    """Options of `SASRec`."""

    max_positions: Positive = option(50, "Number of newest events that are read.")
    num_blocks: Positive = option(2, "Number of blocks of self-attention.")
    num_heads: Positive = option(
        1, "Number of heads of self-attention, a divisor of the width of the histories."
    )
    history_dropout: Share = option(
        0.1,
        "Dropout rate of embedded events, attention weights and hidden layers of the blocks.",
    )
    pre_norm: Flag = option(
        False,
        "Whether blocks normalize queries, keys and values and add the raw input, as in current "
        "transformers.",
    )


class UBR4CTROptions(CTRModelOptions):
    """Options of `UBR4CTR`."""

    retired = {"selector_heads": 2}

    retrieval: Literal["fields", "self_attention"] = option(
        "fields",
        "Retrieval of events: by the ids that they share with the candidate, or by self-attention "
        "between events.",
    )
    field_selection: Literal["reinforce", "straight_through", "all"] = option(
        "reinforce",
        "Training of the selector of fields: by a reward, by the cross-entropy as if the attention "
        'were proportional to the scores (`"straight_through"`), or no selector, which keeps all '
        'fields. For `retrieval="fields"`.',
    )
    top_k: Positive = option(20, "Number of events that are retrieved.")
    selector_units: _EvenWidth = option(
        16, "Width of the attention of the selector, which has two heads."
    )
    selector_hidden_units: Widths = option(
        (20, 10), "Widths of the hidden layers of the selector of fields."
    )

    def check(self) -> None:
        super().check()
        if self.retrieval != "fields" and self.field_selection != "reinforce":
            reason = f"`retrieval={self.retrieval!r}`, which reads no fields"
            raise _not_alone(self, "field_selection", reason)


class IMNOptions(CTRModelOptions):
    """Options of `IMN`."""

    num_walks: Natural = option(3, "Number of walks over a history.")
    num_enhancements: Natural = option(
        3, "Number of steps after the last walk that enhance the memory by the candidate."
    )
    positions: Literal["learned", "sinusoidal", "none"] = option(
        "learned", "Position embedding of behaviors, counted from the newest."
    )
    attention_units: Positive = option(64, "Width of the hidden layer of the attention.")
    attention_activation: Activation = option("sigmoid", "Activation of the attention.")
    attention_weights: Literal["sigmoid", "softmax"] = option(
        "sigmoid",
        "Weights of the attention: a sigmoid of each score, or a softmax over the history.",
    )
    normalize: Literal["none", "length"] = option(
        "none",
        "Normalization of sigmoid weights: none, as in the paper, or division by the number of "
        'behaviors (`"length"`).',
    )
    share_iterations: Flag = option(True, "Whether all walks have the same weights.")
    cross: Literal["full", "delayed"] = option(
        "full",
        'Whether the candidate is an input of the attention. `"delayed"`, without it, is an '
        "ablation.",
    )
    euclidean: Flag = option(
        True, "Whether differences are inputs of the attention; `False` is an ablation."
    )
    attention: Flag = option(
        True, "Whether to use attention; `False`, which averages histories, is an ablation."
    )
    iterative: Flag = option(
        True,
        "Whether to use the memory of walks; `False`, which uses the read-out of the first walk, "
        "is an ablation.",
    )

    def check(self) -> None:
        super().check()
        if self.normalize != "none" and self.attention_weights == "softmax":
            raise Problem(
                ("normalize",),
                "`normalize` must be 'none' with softmax weights, which have a sum of 1. "
                f"Received: normalize={self.normalize!r}",
            )


class TwoTowerOptions(PoolingOptions):
    """Options of `TwoTower`."""

    tower_dim: Positive = option(32, "Width of the vectors of queries and candidates.")
    normalize: Flag = option(True, "Whether the vectors have length 1.")
    softmax_temperature: PositiveNumber = option(
        0.05, "Divisor of the scores in the softmax over the candidates of the batch."
    )
    candidate_id: AnyText | None = option(
        None,
        "Item feature that tells candidates apart; `None` for the one with the most ids (our "
        "choice).",
    )
    positive_label: AnyText | None = option(
        None, "Label that marks true candidates; `None` for the first one."
    )
    sampling_correction: Flag = option(
        True, "Whether scores are corrected by how often a candidate is in a batch (logQ)."
    )
    sampling_rate: Annotated[Share, pydantic.Field(gt=0)] = option(
        0.01, "Share of the newest batch in the estimate of how often a candidate is in a batch."
    )
    remove_accidental_hits: Flag = option(
        True, "Whether candidates of the id of the true one are no negatives."
    )
    num_hard_negatives: Natural = option(
        0, "Number of negatives with the highest scores that count, or 0 for all."
    )
    ranking: Flag = option(
        False,
        "Whether the cross-entropy of the labels trains the towers as well, for retrieval and "
        "ranking in one model; otherwise it fits scale and bias of the scores alone.",
    )

    def check(self) -> None:
        super().check()
        for name in ("num_experts", "tower_units", "wide", "rates"):
            if getattr(self, name):
                reason = "two towers, which score all labels by one product"
                raise _not_alone(self, name, reason)
        if self.softmax_weight:
            raise _not_alone(self, "softmax_weight", "two towers, whose loss is a softmax")
        if self.interaction == "product":
            raise Problem(
                ("interaction",),
                "`interaction` must not be 'product' for two towers: the query tower does not know "
                "the candidate. Received: interaction='product'",
            )


def _not_alone(options, key, reason):
    text = f"`{key}` must be left alone for {reason}. Received: {key}={getattr(options, key)!r}"
    return Problem((key,), text)
