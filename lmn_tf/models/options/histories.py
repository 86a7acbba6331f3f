"""Options of the models that read histories by attention, recurrence, search or walks."""

from typing import Annotated, Literal

import pydantic

from lmn_tf.models.options.base import CTRModelOptions
from lmn_tf.models.options.record import Activation, Share, SomeWidths, Widths, option
from lmn_tf.specs.yaml.section import AnyText, Flag, Natural, NonNegative, Positive, Problem

_EvenWidth = Annotated[int, pydantic.Field(strict=True, ge=2, le=2**63 - 1, multiple_of=2)]


class DINOptions(CTRModelOptions):
    """Options of `DIN`."""

    attention: Flag = option(
        True,
        "Whether histories are read by target attention, else they are averaged, which is the "
        "model `Pooling`.",
    )
    attention_units: SomeWidths = option((80, 40), "Hidden layers of the attention unit.")
    attention_activation: Activation = option("sigmoid", "Activation of those layers.")
    attention_weights: Literal["softmax", "raw"] = option(
        "softmax", "Whether scores become weights by softmax, or are the weights, as in the paper."
    )
    add_pooling: Flag = option(False, "Whether the head sees the averaged history as well.")


class DIENOptions(CTRModelOptions):
    """Options of `DIEN`."""

    variant: Literal["augru", "released", "agru", "aigru"] = option(
        "augru",
        'Form of the weighted unit: `"augru"` as published, `"released"` as in the code '
        'published with it, `"agru"` or `"aigru"`.',
    )
    attention: Literal["bilinear", "mlp"] = option(
        "bilinear", "The paper's `h_t W v`, or the unit of DIN."
    )
    attention_units: SomeWidths = option((80, 40), "Hidden layers of that unit.")
    attention_activation: Activation = option("sigmoid", "Activation of those layers.")
    auxiliary_units: Widths = option(
        (100, 50), "Hidden layers of the auxiliary network, `()` for an inner product."
    )
    auxiliary_weight: NonNegative = option(
        1.0,
        "Weight of the auxiliary loss; 0 turns it off. The released code halves the click loss, "
        "so 2 keeps its ratio.",
    )
    add_pooling: Flag = option(
        False,
        "Whether the head sees the summed history and its product with the candidate as well, as "
        "in the released code.",
    )


class MIMNOptions(CTRModelOptions):
    """Options of `MIMN`."""

    num_slots: Positive = option(4, "Slots of a user's memory.")
    controller_units: Positive | None = option(
        None, "Width of the controller's state, or `None` for the history's width."
    )
    num_read_heads: Positive = option(1, "Heads that read the memory.")
    num_write_heads: Positive = option(1, "Heads that write the memory.")
    utilization: Literal["paper", "released", "none"] = option(
        "paper",
        "How writes are spread over the slots: as in the paper, as in the code released with it, "
        "or not.",
    )
    utilization_weight: NonNegative = option(
        1e-05,
        "Weight of the loss that evens writes out; the released code's is 0.001 on its own form.",
    )
    induction_top_k: Natural = option(
        1, "Channels updated in a step; 0 leaves induction out. At most `num_slots`."
    )
    attention_units: SomeWidths = option(
        (80, 40), "Hidden layers of the attention to the channels."
    )
    static_keys: Flag = option(False, "Whether slots have trained keys as well.")
    auxiliary_units: Widths = option(
        (100, 50),
        "Hidden layers of the network of DIEN's auxiliary loss, `()` for an inner product.",
    )
    auxiliary_weight: NonNegative = option(
        0.0, "Weight of that loss, on the memory's outputs; 0 turns it off."
    )

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
        "soft", 'How events are found: by a product with the candidate, or `"hard"`, by an id.'
    )
    search_field: AnyText | None = option(
        None,
        "The item feature whose ids hard search compares; a list matches when it shares an id. "
        "`None`: of those that the sequence's fields are `like`, the one with the fewest ids (our "
        "choice).",
    )
    search_top_k: Positive = option(50, "Events that the search finds.")
    short_length: Positive = option(50, "Newest events that DIN reads.")
    search_units: Positive = option(64, "Width of the search's projections.")
    search_hidden_units: Widths = option((200, 80), "Hidden layers of the search's own prediction.")
    search_loss_weight: NonNegative = option(1.0, "Weight of the search's loss: the paper's α.")
    found_units: Positive = option(
        64, "Width of the attention on found events, a multiple of `found_heads`."
    )
    found_heads: Positive = option(2, "Heads of that attention.")

    def check(self) -> None:
        super().check()
        if self.found_units % self.found_heads:
            raise Problem(
                ("found_units",),
                "`found_units` must be divisible by `found_heads`. "
                f"Received: found_units={self.found_units}, found_heads={self.found_heads}",
            )


class SASRecOptions(CTRModelOptions):
    """Options of `SASRec`."""

    max_positions: Positive = option(50, "Newest events that are read.")
    num_blocks: Positive = option(2, "Blocks of self-attention.")
    num_heads: Positive = option(
        1, "Heads of the self-attention, which divide the width of the histories."
    )
    history_dropout: Share = option(
        0.1,
        "Share dropped, in training, of embedded events, attention weights and hidden layers of "
        "the blocks.",
    )
    pre_norm: Flag = option(
        False,
        "Whether blocks normalize queries, keys and values and add the raw input, as transformers "
        "do today.",
    )


class UBR4CTROptions(CTRModelOptions):
    """Options of `UBR4CTR`."""

    retired = {"selector_heads": 2}

    retrieval: Literal["fields", "self_attention"] = option(
        "fields",
        "How events are found: by the ids that they share with the candidate, or by the "
        "self-attention of the events.",
    )
    field_selection: Literal["reinforce", "straight_through", "all"] = option(
        "reinforce",
        'What the selector of fields learns from: a reward; `"straight_through"`, the '
        "cross-entropy, as if the attention were in proportion to the scores; or, keeping all "
        'fields, no selector. For `retrieval="fields"`.',
    )
    top_k: Positive = option(20, "Events that are retrieved.")
    selector_units: _EvenWidth = option(16, "Width of the selector's attention of two heads.")
    selector_hidden_units: Widths = option((20, 10), "Hidden layers of the selector of fields.")

    def check(self) -> None:
        super().check()
        if self.retrieval != "fields" and self.field_selection != "reinforce":
            raise Problem(
                ("field_selection",),
                f"`field_selection` must be left alone for `retrieval={self.retrieval!r}`, which "
                f"reads no fields. Received: field_selection={self.field_selection!r}",
            )


class IMNOptions(CTRModelOptions):
    """Options of `IMN`."""

    num_walks: Natural = option(3, "Walks over a history.")
    num_enhancements: Natural = option(
        3, "Steps that bring the candidate back to mind after the last walk."
    )
    positions: Literal["learned", "sinusoidal", "none"] = option(
        "learned", "What is added to behaviors for their distance from the newest."
    )
    attention_units: Positive = option(64, "Hidden layer of the attention.")
    attention_activation: Activation = option("sigmoid", "Activation of that layer.")
    attention_weights: Literal["sigmoid", "softmax"] = option(
        "sigmoid",
        "How scores become weights: each by itself, or by a softmax over the history.",
    )
    normalize: Literal["none", "length"] = option(
        "none",
        'What sigmoid weights are divided by: nothing, as in the paper, or, with `"length"`, the '
        "number of behaviors.",
    )
    share_iterations: Flag = option(True, "Whether all walks have the same weights.")
    cross: Literal["full", "delayed"] = option(
        "full", 'Whether the attention sees the candidate; `"delayed"`, without it, is an ablation.'
    )
    euclidean: Flag = option(
        True, "Whether the attention sees differences; without them is an ablation."
    )
    attention: Flag = option(True, "Without it histories are averaged, an ablation.")
    iterative: Flag = option(
        True, "Without it the head sees the first walk's read-out, an ablation."
    )

    def check(self) -> None:
        super().check()
        if self.normalize != "none" and self.attention_weights == "softmax":
            raise Problem(
                ("normalize",),
                "`normalize` must be 'none' with softmax weights, which have a sum of 1. "
                f"Received: normalize={self.normalize!r}",
            )
