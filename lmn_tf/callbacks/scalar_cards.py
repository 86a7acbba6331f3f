"""TensorBoard scalars with descriptions, none of which is a constant."""

from collections.abc import Mapping

import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from lmn_tf.metrics.descriptions import describe


class ScalarCards:
    """Writes scalars to the current TensorBoard writer, with their descriptions.

    A constant takes no card: of a scalar that may never change, the first value is held back until
    another one follows. `close` writes those that have had a single value, which may be no
    constants.

    Args:
        writer: `tf.summary.SummaryWriter`.

    Example:

    >>> cards = ScalarCards(tf.summary.create_file_writer(folder))
    >>> cards.write_changing({"learning_rate/all": 0.1}, step=1)
    >>> cards.write_changing({"learning_rate/all": 0.1}, step=2)  # no card yet
    >>> cards.close()
    """

    def __init__(self, writer: tf.summary.SummaryWriter) -> None:
        self._writer = writer
        # The step of the first value, that of the last one and the value; `None` once written.
        self._held: dict[str, tuple[int, int, float] | None] = {}

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Writes scalars.

        Args:
            values: Mapping from tag to number.
            step: Integer.
        """
        summary = Summary()
        for tag, value in values.items():
            summary.MergeFrom(scalar_pb(tag, float(value), describe(tag)))
        if values:
            write_summary(self._writer, summary, step)

    def write_changing(self, values: Mapping[str, float], step: int) -> None:
        """Writes scalars once they have changed.

        Args:
            values: Mapping from tag to number.
            step: Integer.
        """
        for tag, value in values.items():
            value = float(value)
            held = self._held.setdefault(tag, (step, step, value))
            if held is not None and held[2] == value:
                self._held[tag] = (held[0], step, value)
                continue
            for earlier in sorted(set((held or ())[:2])):
                self.write({tag: held[2]}, earlier)
            self._held[tag] = None
            self.write({tag: value}, step)

    def close(self) -> None:
        """Writes what has had a single value."""
        for tag, held in self._held.items():
            if held is not None and held[0] == held[1]:
                self.write({tag: held[2]}, held[0])
        self._held = {}


def write_summary(writer: tf.summary.SummaryWriter, summary: Summary, step: int) -> None:
    """Writes values that are ready.

    One call for many values takes a tenth of the time of a `tf.summary.scalar` or
    `tf.summary.histogram` for each, which run several ops.

    Args:
        writer: `tf.summary.SummaryWriter`.
        summary: `Summary` with any number of values.
        step: Integer.
    """
    with writer.as_default(step):
        tf.summary.experimental.write_raw_pb(summary.SerializeToString())
