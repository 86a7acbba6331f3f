"""Options of every model, and of models without attention to histories."""

from typing import Any, Literal

from lmn_tf.models.options.record import Activation, Options, Share, SomeWidths, Widths, option
from lmn_tf.specs.yaml.section import (
    Flag,
    Name,
    Natural,
    NonNegative,
    Positive,
    PositiveNumber,
    Problem,
)

PoolingKind = Literal["mean", "sum", "sqrtn"]
InteractionKind = Literal["none", "cross", "dot", "product"]


class CTRModelOptions(Options):
    """Options of every model."""

    implied = {"history_counts": False}

    hidden_units: SomeWidths = option((200, 80), "Widths of the hidden layers of the head.")
    activation: Activation = option("prelu", "Activation of the hidden layers of the head.")
    dropout: Share = option(0.0, "Dropout rate of the hidden layers of the head.")
    batch_norm: Flag = option(True, "Whether to batch-normalize the input of the head.")
    num_experts: Natural = option(
        0,
        "Number of shared experts, which each label weights separately, instead of the MLP of the "
        "head; 0 for the MLP.",
    )
    tower_units: Widths = option(
        (), "Widths of separate hidden layers of each label, after the shared ones."
    )
    interaction: InteractionKind = option(
        "none",
        "Interaction before the head: cross layers on the concatenation, as in DCN; dot products "
        "of all pairs of groups, as in DLRM; or element-wise and dot products of the candidate "
        "with the user, each read history and every other group, as in a product layer.",
    )
    cross_layers: Positive = option(2, 'Number of layers of `interaction="cross"`.')
    wide: Flag = option(
        False,
        "Whether each id of a row also adds a weight to the logits, as in the wide part of Wide & "
        "Deep and in factorization machines.",
    )
    rates: Flag = option(
        False,
        "Whether the rates of the item and the user in the training rows are terms of the logits, "
        "with weights that are fitted to the validation rows after training.",
    )
    counts: Flag = option(
        False,
        "With `rates`, whether the logs of how many training rows the item and the user have are "
        "terms as well, and the weights of all terms change with that of the item.",
    )
    history_counts: Flag = option(
        False,
        "With `rates`, whether the logs of how many events each history has, and of how many of "
        "them are the candidate, are terms as well.",
    )
    outcome: Name | None = option(
        None,
        "Field of histories with the label that each event had, 0 or 1. With `rates`, its rates in "
        "the histories of a row are terms as well. `None`: there are no such terms, and for "
        "`pair_values: ease`, every event counts as a positive one.",
    )

    def check(self) -> None:
        super().check()
        if self.outcome is not None and not self.reads_outcome:
            raise Problem(
                ("outcome",),
                "`outcome` must be left out where no term reads it, of `rates` or of pairs. "
                f"Received: outcome={self.outcome!r}",
            )
        if self.history_counts and self.rates and not self.reads_outcome:
            raise Problem(
                ("history_counts",),
                "`history_counts` must be false for a model that counts no events. "
                "Received: history_counts=True",
            )

    @property
    def reads_outcome(self) -> bool:
        """Whether terms of the logits depend on events and how they went."""
        return self.rates

    def arguments(self, record: type[Options], **renamed: str) -> dict[str, Any]:
        """Returns the options that a record adds to those of every model, as arguments of a layer.

        Args:
            record: Base class of this record.
            **renamed: Names of arguments of the layer that differ from those of options.

        Returns:
            Dictionary from the name of an argument to its value.
        """
        names = [name for name in record.model_fields if name not in CTRModelOptions.model_fields]
        return {renamed.get(name, name): getattr(self, name) for name in names}


class DNNOptions(CTRModelOptions):
    """Options of `DNN`."""

    @property
    def reads_outcome(self) -> bool:
        return False  # nor histories


class BatchSoftmaxOptions(CTRModelOptions):
    """Options of `BatchSoftmaxPlugin`."""

    softmax_weight: NonNegative = option(
        0.0,
        "Weight of the softmax loss that tells the true candidate of a history from the others of "
        "the batch; 0 for none.",
    )
    softmax_dim: Positive = option(64, "Width of the vectors of that loss.")
    softmax_temperature: PositiveNumber = option(0.1, "Divisor of the scores in that softmax.")
    softmax_score: Flag = option(
        False,
        "Whether the score of that softmax is a term of the logits, with a weight that is fitted "
        "to the validation rows after training.",
    )

    def check(self) -> None:
        super().check()
        if self.softmax_score and not self.softmax_weight:
            raise Problem(
                ("softmax_score",),
                "`softmax_score` must be false unless `softmax_weight` is above 0. "
                f"Received: softmax_score=True, softmax_weight={self.softmax_weight}",
            )


class PoolingOptions(BatchSoftmaxOptions):
    """Options of `Pooling`."""

    implied = {"newest_events": 0}

    pooling: PoolingKind = option(
        "mean",
        "Pooling of the events of a history; `sqrtn` divides the sum by the root of their number.",
    )
    newest_events: Natural = option(
        0,
        "Number of newest events of each history that are pooled by themselves as well, also for "
        "the second loss; 0 for none.",
    )


class StrongPoolingOptions(PoolingOptions):
    """Options of `StrongPooling`: those of `Pooling`, with the defaults that win on public data."""

    pooling: PoolingKind = "sqrtn"
    interaction: InteractionKind = "product"
    wide: Flag = True
    rates: Flag = True
    counts: Flag = True
    history_counts: Flag = True
    newest_events: Natural = 8
    softmax_weight: NonNegative = 1.0
    softmax_score: Flag = True
