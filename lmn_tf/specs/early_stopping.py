"""When a run ends before its last epoch."""

from typing import Literal

from lmn_tf.specs.section import Natural, section


@section
class EarlyStopping:
    """Ends training when a validation metric has not improved for some epochs.

    Args:
        monitor: `"auc"`, `"gauc"` or `"logloss"`. Defaults to `"auc"`.
        patience: Integer. Epochs without improvement that are forgiven. Defaults to `2`.
    """

    monitor: Literal["auc", "gauc", "logloss"] = "auc"
    patience: Natural = 2
