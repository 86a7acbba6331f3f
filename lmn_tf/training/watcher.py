"""What a person sees of the steps and epochs of a run."""

import dataclasses

from lmn_tf.training.progress import Progress


@dataclasses.dataclass
class Watcher:
    """Shows each step and each epoch; a listener of `TrainingLoop`.

    Args:
        total: Steps of the run.
        stream: Where the lines go.
    """

    total: int
    stream: object

    def __post_init__(self):
        self._progress = None

    def on_step(self, loop, loss) -> None:
        """Shows a step, where it is time for the next one."""
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

    def on_epoch(self, loop, figures) -> None:
        """Shows the figures of an epoch."""
        self.line(" | ".join(self.words(loop, figures)))

    def line(self, text: str) -> None:
        """Shows a line, above the progress bar where there is one."""
        if self._progress is None:
            print(text, file=self.stream, flush=True)
        else:
            self._progress.line(text)

    def words(self, loop, figures) -> list[str]:
        """Gives what is said at the end of an epoch, part by part."""
        valid = figures.get("valid", {})
        words = [f"epoch {figures['epoch'] + 1}/{loop.epochs}", f"loss {figures['loss']:.4f}"]
        for name in ("auc", "gauc", "logloss"):
            if valid.get(name) is not None:
                words.append(f"valid {name} {valid[name]:.4f}")
        return words

    def close(self) -> None:
        """Ends the progress bar."""
        if self._progress:
            self._progress.close()
