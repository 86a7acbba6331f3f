"""Where training stands, apart from the weights."""

import dataclasses


@dataclasses.dataclass
class TrainState:
    """Plain numbers that go into each checkpoint beside the variables.

    Args:
        epoch: Epoch in progress, from 0. Defaults to `0`.
        batch: Next batch of that epoch; all of them once only its evaluation is left.
            Defaults to `0`.
        step: Steps taken in all epochs. Defaults to `0`.
        examples: Rows trained on in all epochs. Defaults to `0`.
        seconds: Time spent in training steps, evaluation left out. Defaults to `0.0`.
        timed_examples: Rows of the steps that are timed: all but the first of each process, which
            builds the graph. Defaults to `0`.
        timed_seconds: Time of those steps. Defaults to `0.0`.
        waited: Part of `timed_seconds` spent waiting for input. Defaults to `0.0`.
        history: One dict of figures for each finished epoch. Defaults to `[]`.
        opening: Figures known before the first step of the epoch in progress, which join those of
            its end. Defaults to `{}`.
        early_stopping: State of the early stopping. Defaults to `{}`.
        best_file: File with the best weights, None where the last ones count. Defaults to `None`.
        finished: Whether no step is left. Defaults to `False`.

    Example:

    >>> TrainState(**TrainState(step=3).to_dict()).step
    3
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    examples: int = 0
    seconds: float = 0.0
    timed_examples: int = 0
    timed_seconds: float = 0.0
    waited: float = 0.0
    history: list = dataclasses.field(default_factory=list)
    opening: dict = dataclasses.field(default_factory=dict)
    early_stopping: dict = dataclasses.field(default_factory=dict)
    best_file: str | None = None
    finished: bool = False

    def to_dict(self) -> dict:
        """Gives the fields as plain JSON values."""
        return dataclasses.asdict(self)

    @property
    def examples_per_second(self) -> float:
        """Rows trained on in a second, the building of the graph left out."""
        if self.timed_seconds:
            return self.timed_examples / self.timed_seconds
        return self.examples / self.seconds if self.seconds else 0.0

    @property
    def input_wait(self) -> float:
        """Share of the training time spent waiting for input."""
        return min(1.0, self.waited / self.timed_seconds) if self.timed_seconds else 0.0
