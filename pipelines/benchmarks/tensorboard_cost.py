"""Cost of TensorBoard in a training step of LMN.

Training steps of `fit` on batches in memory, alone and followed by all that `lmn-tf train` writes
for TensorBoard: losses and speed every 10 steps, and every 50 steps how a batch of its own reads
the memory, unless that would take too long. A turn takes so many steps that it has such points.
`share %` is the part of the time that is spent in the callbacks, without the first
point, which builds the graph.
"""

import sys
import tempfile
import time
import types
from pathlib import Path

from timer import Benchmark, Contender, Work
from workload import compiled_model, spec_of, training_steps, write_log

MOST = 2  # percent of the time


def build(folder, num_keys, top_k, batch, length, steps, point_steps, watched):
    """Training steps of LMN, with or without TensorBoard."""
    import lmn_tf

    spec = spec_of(length)
    files = str(Path(folder) / "train-*.parquet")
    dataset = lmn_tf.make_dataset(spec, files, batch_size=batch, drop_remainder=True, learn=True)
    model = compiled_model("lmn", spec, num_keys=num_keys, top_k=top_k)
    step = training_steps(model, dataset, 4)
    if not watched:
        return Work(repeated(step, steps), examples=steps * batch)
    features, _ = next(iter(dataset))
    board = Board(model, features, tempfile.mkdtemp(dir=folder), batch, point_steps)
    step = repeated(board.after(step), steps)
    return Work(step, examples=steps * batch, finish=board.figures)


def repeated(step, times):
    """Function that calls another one several times."""

    def run():
        for _ in range(times):
            step()

    return run


class Board:
    """What `lmn-tf train` does for TensorBoard after each step, and the time that it takes."""

    def __init__(self, model, features, folder, batch, point_steps):
        from lmn_tf.callbacks import MemoryTensorBoard
        from lmn_tf.callbacks.memory_probe import MemoryProbe
        from lmn_tf.training.monitor.tensorboard_writer import TensorBoardWriter
        from lmn_tf.training.training_loop import TrainState

        self._points = []  # numbers of the steps after which the memory was measured
        probe = MemoryProbe(model, features)
        probe.measure = self._noted(probe.measure)
        self._memory = MemoryTensorBoard(f"{folder}/memory", point_steps, probe)
        self._memory.set_model(model)
        self._memory.on_train_begin()
        self._writer = TensorBoardWriter(f"{folder}/train")
        self._loop = types.SimpleNamespace(model=model, state=TrainState())
        self._batch = batch
        self._own, self._all = [], []  # seconds of each step: of the callbacks, and in all

    def after(self, step):
        """Function that runs a training step and then the callbacks."""

        def run():
            began = time.perf_counter()
            self._memory.on_train_batch_begin(0)
            step()
            trained = time.perf_counter()
            state = self._loop.state
            state.step += 1
            state.timed_examples += self._batch
            state.timed_seconds += trained - began
            self._memory.on_train_batch_end(0)
            self._writer.on_step(self._loop, 0.5)
            ended = time.perf_counter()
            self._own.append(ended - trained)
            self._all.append(ended - began)

        return run

    def figures(self):
        """Facts of the row: the share of the callbacks in the time, and the cost of points."""
        first, *points = self._points
        own = [0.0 if index == first else seconds for index, seconds in enumerate(self._own)]
        began = time.perf_counter()
        self._memory.on_epoch_end(0)
        ended = time.perf_counter()
        return {
            "share %": 100 * sum(own) / (sum(self._all) - self._own[first]),
            "points": len(points),
            "ms a point": 1000 * sum(own[point] for point in points) / max(len(points), 1),
            "ms the first point": 1000 * self._own[first],
            "ms the end of an epoch": 1000 * (ended - began),
        }

    def _noted(self, measure):
        def measured():
            self._points.append(len(self._own))
            return measure()

        return measured


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv)
    # √n, k, rows, length of histories, steps of a turn, turns. The first are the quick start's.
    sizes = ((32, 8, 256, 10, 200, 11), (300, 32, 256, 50, 50, 11), (1_000, 32, 256, 50, 50, 5))
    point_steps = 50
    if benchmark.quick:
        sizes, point_steps = ((10, 4, 16, 8, 6, 1),), 2
    shares = []
    for num_keys, top_k, batch, length, steps, rounds in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_log(folder, rows=8 * batch, length=length)
            arguments = {"folder": folder, "num_keys": num_keys, "top_k": top_k, "batch": batch}
            arguments |= {"length": length, "steps": steps, "point_steps": point_steps}
            result = benchmark.compare(
                f"√n {num_keys:,}, k {top_k}, batch {batch}, history {length}: {steps} steps",
                Contender("without TensorBoard", build, {**arguments, "watched": False}),
                Contender("with TensorBoard", build, {**arguments, "watched": True}),
                ratio="time",
                rounds=rounds,
            )
        if result:
            facts = [row["facts"] for row in result["contenders"] if row.get("facts")]
            shares += [row["share %"] for row in facts]
    if shares:
        met = "met" if max(shares) < MOST else "missed"
        benchmark.note(f"At most {max(shares):.2f} % of the time; target < {MOST} %: {met}.")
    return benchmark.finish()


if __name__ == "__main__":
    sys.exit(main())
