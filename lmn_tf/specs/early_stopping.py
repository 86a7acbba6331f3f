"""When a run ends before its last epoch."""

from typing import Literal

from lmn_tf.specs.section import Positive, section


@section
class EarlyStopping:
    """Ends training when a validation metric has not improved for some epochs.

    Args:
        monitor: `"auc"`, `"gauc"` or `"logloss"`. Defaults to `"auc"`.
        patience: Integer. Training ends after so many epochs without improvement. Defaults to `2`.
    """

    monitor: Literal["auc", "gauc", "logloss"] = "auc"
    patience: Positive = 2
