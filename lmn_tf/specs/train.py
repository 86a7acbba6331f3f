"""How a run trains."""

from typing import Annotated, Literal

import pydantic

from lmn_tf.specs.early_stopping import EarlyStopping
from lmn_tf.specs.optimizer import Optimizer
from lmn_tf.specs.schedule import Schedule
from lmn_tf.specs.section import Flag, Positive, PositiveNumber, section


@section
class Train:
    """How a run trains.

    Args:
        epochs: Integer. Passes over the training data. Defaults to `1`.
        seed: Integer in `[0, 2**32)`. Defaults to `1`.
        precision: `"float32"`, `"mixed_float16"` or `"mixed_bfloat16"`. Defaults to `"float32"`.
        optimizer: `Optimizer`.
        schedule: `Schedule`. Defaults to `None`: constant learning rates.
        clip_norm: Float. Largest global norm of the dense gradients. Defaults to `None`.
        early_stopping: `EarlyStopping`. Defaults to `None`.
        checkpoint_steps: Integer. Steps between checkpoints. Defaults to `500`.
        max_steps: Integer. The run ends after so many steps. Defaults to `None`.
        deterministic: Boolean. The same seed gives the same bits. Defaults to `True`.
    """

    epochs: Positive = 1
    seed: Annotated[int, pydantic.Field(strict=True, ge=0, le=2**32 - 1)] = 1
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    optimizer: Optimizer = pydantic.Field(default_factory=Optimizer)
    schedule: Schedule | None = None
    clip_norm: PositiveNumber | None = None
    early_stopping: EarlyStopping | None = None
    checkpoint_steps: Positive = 500
    max_steps: Positive | None = None
    deterministic: Flag = True
