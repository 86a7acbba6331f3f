"""Options of every model, and of those that read no history by attention."""

from typing import Any, Literal

from lmn_tf.models.options.record import Activation, Options, Share, SomeWidths, Widths, option
from lmn_tf.specs.yaml.section import Flag, Natural, Positive


class CTRModelOptions(Options):
    """Options of every model."""

    hidden_units: SomeWidths = option((200, 80), "Widths of the head's hidden layers.")
    activation: Activation = option("prelu", "Activation of the head's hidden layers.")
    dropout: Share = option(0.0, "Share of each hidden layer dropped in training.")
    batch_norm: Flag = option(True, "Whether to batch-normalize the head's input.")
    num_experts: Natural = option(
        0,
        "Shared experts that each label weighs for itself, in place of the head's one MLP; 0 for "
        "none.",
    )
    tower_units: Widths = option(
        (), "Hidden layers that each label has of its own, behind the shared ones."
    )
    interaction: Literal["none", "cross", "dot"] = option(
        "none",
        "What stands before the head: cross layers on the concatenation, as in DCN, or dot "
        "products of the groups, as in DLRM.",
    )
    cross_layers: Positive = option(2, 'Layers of `interaction="cross"`.')

    def arguments(self, record: type[Options], **renamed: str) -> dict[str, Any]:
        """Returns the options that a record adds to those of every model, for a layer.

        Args:
            record: Record that this one derives from.
            **renamed: The layer's names of options that are called otherwise there.

        Returns:
            Dictionary from the name of an argument to its value.
        """
        names = [name for name in record.model_fields if name not in CTRModelOptions.model_fields]
        return {renamed.get(name, name): getattr(self, name) for name in names}


class DNNOptions(CTRModelOptions):
    """Options of `DNN`."""


class PoolingOptions(CTRModelOptions):
    """Options of `Pooling`."""

    pooling: Literal["mean", "sum"] = option("mean", "How the events of a history are pooled.")
