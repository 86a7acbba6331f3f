"""Training settings of a run."""

from typing import Annotated, Literal

import pydantic

from lmn_tf.specs.optimizer import Optimizer
from lmn_tf.specs.yaml.section import Flag, Natural, Positive, PositiveNumber, Problem, section


@section
class Schedule:
    """Learning rate schedule of a run.

    Args:
        kind: `"constant"`, `"cosine"` or `"exponential"`. Defaults to `"constant"`.
        warmup_steps: Integer. Number of steps of linear warm-up. Defaults to `0`.
        decay_steps: Integer. Number of steps until zero (cosine), or per factor of `decay_rate`
            (exponential). Defaults to `None`: the length of the run (cosine).
        decay_rate: Float in `(0, 1]`. Factor of the exponential decay. Defaults to `0.5`.
    """

    kind: Literal["constant", "cosine", "exponential"] = "constant"
    warmup_steps: Natural = 0
    decay_steps: Positive | None = None
    decay_rate: Annotated[float, pydantic.Field(strict=True, gt=0, le=1)] = 0.5

    @pydantic.model_validator(mode="after")
    def _check(self):
        if self.kind == "exponential" and self.decay_steps is None:
            raise Problem((), "`decay_steps` must be given for kind exponential. Received: nothing")
        kinds = {"decay_steps": ("cosine", "exponential"), "decay_rate": ("exponential",)}
        for key, readers in kinds.items():
            is_given = getattr(self, key) != getattr(type(self), key)
            if is_given and self.kind not in readers:
                raise Problem(
                    (key,),
                    f"`{key}` must be given for kind {' or '.join(readers)} only. "
                    f"Received: `{key}` for kind {self.kind}",
                )
        return self


@section
class EarlyStopping:
    """Stops training when a validation metric has stopped improving.

    Args:
        monitor: `"auc"`, `"gauc"` or `"logloss"`. Defaults to `"auc"`.
        patience: Integer. Number of epochs without improvement after which training stops. Defaults
            to `2`.
    """

    monitor: Literal["auc", "gauc", "logloss"] = "auc"
    patience: Positive = 2


@section
class Train:
    """Training settings of a run.

    Args:
        epochs: Integer. Number of passes over the training data. Defaults to `1`.
        seed: Integer in `[0, 2**32)`. Defaults to `1`.
        precision: `"float32"`, `"mixed_float16"` or `"mixed_bfloat16"`. Defaults to `"float32"`.
        optimizer: `Optimizer`.
        schedule: `Schedule`. Defaults to `None`: constant learning rates.
        clip_norm: Float. Largest global norm of the gradients of each optimizer: those of dense
            weights, of tables, and of pairs. Defaults to `None`.
        early_stopping: `EarlyStopping`. Defaults to `None`.
        fresh_tables: Boolean. Whether embedding tables and the values of memories start each epoch
            after the first with new random numbers, while dense weights are trained on. Defaults
            to `False`.
        checkpoint_steps: Integer. Number of steps between checkpoints. Defaults to `500`.
        max_steps: Integer. Number of steps after which the run ends. Defaults to `None`.
        deterministic: Boolean. Whether runs with the same seed are bit-identical. Defaults to
            `True`.
        tensorboard: Boolean. Whether to write `RUN_DIR/tensorboard`. Defaults to `True`.
    """

    epochs: Positive = 1
    seed: Annotated[int, pydantic.Field(strict=True, ge=0, le=2**32 - 1)] = 1
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    optimizer: Optimizer = pydantic.Field(default_factory=Optimizer)
    schedule: Schedule | None = None
    clip_norm: PositiveNumber | None = None
    early_stopping: EarlyStopping | None = None
    fresh_tables: Flag = False
    checkpoint_steps: Positive = 500
    max_steps: Positive | None = None
    deterministic: Flag = True
    tensorboard: Flag = True
