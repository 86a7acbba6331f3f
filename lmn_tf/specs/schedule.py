"""The learning rate over time."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lmn_tf.specs.section import Natural, Positive, Problem, section


@section
class Schedule:
    """Scales the learning rates of a run step by step.

    Args:
        kind: `"constant"`, `"cosine"` or `"exponential"`. Defaults to `"constant"`.
        warmup_steps: Integer. Steps of linear growth from zero. Defaults to `0`.
        decay_steps: Integer. Steps until zero (cosine), or until one more `decay_rate`
            (exponential). Defaults to `None`: the length of the run (cosine).
        decay_rate: Float in `(0, 1]`. Defaults to `0.5`.
    """

    kind: Literal["constant", "cosine", "exponential"] = "constant"
    warmup_steps: Natural = 0
    decay_steps: Positive | None = None
    decay_rate: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.5

    @model_validator(mode="after")
    def _check(self):
        if self.kind == "exponential" and self.decay_steps is None:
            raise Problem((), "`decay_steps` must be given for kind exponential. Received: nothing")
        return self
