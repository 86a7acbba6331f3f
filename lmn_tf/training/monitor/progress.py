"""Progress lines of a run."""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import TYPE_CHECKING, SupportsFloat, TextIO

import rich.console
import rich.progress

from lmn_tf.metrics.figures import MONITORED

if TYPE_CHECKING:
    from lmn_tf.training.training_loop import TrainingLoop


class Progress:
    """Progress bar on a terminal, plain lines elsewhere.

    Both show the step, the loss, examples per second, the remaining time and the share of time
    spent waiting for input. They are written to stderr, so that stdout holds only results.

    Args:
        total: Integer. Number of steps, or `None` if unknown. Defaults to `None`.
        title: String. Start of each line. Defaults to `"train"`.
        stream: Stream to write to. Defaults to `None`: stderr.
        every_seconds: Float. Seconds between two plain lines. Defaults to `5.0`.

    Example:

    >>> progress = Progress(total=2, stream=sys.stdout)
    >>> progress.update(1, loss=0.5, examples_per_second=100.0, input_wait=0.25)
    train: step 1/2 | loss 0.5000 | 100 examples/s | input wait 25 %
    >>> progress.close()
    """

    def __init__(
        self,
        total: int | None = None,
        title: str = "train",
        stream: TextIO | None = None,
        every_seconds: float = 5.0,
    ) -> None:
        self.total = total
        self.title = title
        self.stream = stream if stream is not None else sys.stderr
        self.every_seconds = every_seconds
        self._started = time.perf_counter()
        self._first_step: int | None = None
        self._printed: float | None = None
        self._bar = self._task = None
        if getattr(self.stream, "isatty", lambda: False)():
            self._bar = rich.progress.Progress(
                rich.progress.TextColumn("{task.description}"),
                rich.progress.BarColumn(),
                rich.progress.MofNCompleteColumn(),
                rich.progress.TextColumn("{task.fields[figures]}"),
                rich.progress.TimeRemainingColumn(),
                console=rich.console.Console(file=self.stream),
            )
            self._task = self._bar.add_task(title, total=total, figures="")
            self._bar.start()

    def wants(self, step: int) -> bool:
        """Returns whether an update would be shown now; if not, figures need not be computed."""
        if self._bar or self._printed is None or step == self.total:
            return True
        return time.perf_counter() - self._printed >= self.every_seconds

    def update(self, step: int, **figures: float) -> None:
        """Shows the figures at a step.

        Args:
            step: Integer. Number of finished steps.
            **figures: Any of `loss`, `examples_per_second` and `input_wait` (a share).
        """
        if self._first_step is None:
            self._first_step = step
        if not self.wants(step):
            return
        self._printed = time.perf_counter()
        words = _words(figures)
        if self._bar:
            self._bar.update(self._task, completed=step, figures=" | ".join(words))
            return
        of_total = f"/{self.total}" if self.total else ""
        # The first step compiles the model, so its time does not predict the others.
        is_known = self.total and step > self._first_step
        left = [f"{_clock(self._left(step))} left"] if is_known else []
        words = words[:-1] + left + words[-1:] if "input_wait" in figures else words + left
        self.line(" | ".join([f"{self.title}: step {step}{of_total}", *words]))

    def line(self, text: str) -> None:
        """Prints a line, above the bar if there is one."""
        if self._bar:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=self.stream, flush=True)

    def close(self) -> None:
        """Closes the bar."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _left(self, step: int) -> float:
        done = step - self._first_step
        return (time.perf_counter() - self._started) / done * (self.total - step)


def _words(figures: dict) -> list[str]:
    words = []
    if "loss" in figures:
        words.append(f"loss {figures['loss']:.4f}")
    if "examples_per_second" in figures:
        words.append(f"{figures['examples_per_second']:,.0f} examples/s")
    if "input_wait" in figures:
        words.append(f"input wait {100 * figures['input_wait']:.0f} %")
    return words


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def monitored_words(part: str, figures: dict) -> list[str]:
    """Returns the known figures of a progress line as text.

    Args:
        part: String. Name of the evaluated data.
        figures: Dictionary returned by `Evaluator.evaluate`.

    Example:

    >>> monitored_words("valid", {"auc": 0.75, "gauc": None})
    ['valid auc 0.7500']
    """
    known = [figure for figure in MONITORED if figures.get(figure.name) is not None]
    return [f"{part} {figure.name} {figure.cell(figures[figure.name])}" for figure in known]


@dataclasses.dataclass
class Watcher:
    """Prints the progress of steps and epochs; a listener of `TrainingLoop`.

    Args:
        total: Integer. Number of steps of the run.
        stream: Stream to write to.
        unfamiliar_values: Dictionary from the name of data to their `UnfamiliarValues`, which are
            named once, after the first epoch. Defaults to none.
    """

    total: int
    stream: object
    unfamiliar_values: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        self._progress = None

    def on_step(self, loop: TrainingLoop, loss: SupportsFloat) -> None:
        """Shows a step, if the previous line is old enough."""
        if self._progress is None:
            self._progress = Progress(self.total, stream=self.stream)
        step, state = loop.state.step, loop.state
        if self._progress.wants(step):
            self._progress.update(
                step,
                loss=float(loss),
                examples_per_second=state.examples_per_second,
                input_wait=state.input_wait,
            )

    def on_epoch(self, loop: TrainingLoop, figures: dict) -> None:
        """Shows the figures of an epoch."""
        self.line(" | ".join(self.words(loop, figures)))
        for part, values in self.unfamiliar_values.items():
            for sentence in values.sentences():
                self.line(f"{part} data: {sentence}")
        self.unfamiliar_values = {}

    def line(self, text: str) -> None:
        """Prints a line, above the progress bar if there is one."""
        if self._progress is None:
            print(text, file=self.stream, flush=True)
        else:
            self._progress.line(text)

    def words(self, loop: TrainingLoop, figures: dict) -> list[str]:
        """Returns the parts of the line at the end of an epoch."""
        words = [f"epoch {figures['epoch'] + 1}/{loop.epochs}", f"loss {figures['loss']:.4f}"]
        return words + monitored_words("valid", figures.get("valid", {}))

    def close(self) -> None:
        """Closes the progress bar."""
        if self._progress:
            self._progress.close()
