"""Throughput of the input: rows per second that are read, and that training consumes.

`BatchReader` decodes Parquet and gathers histories into shuffled NumPy batches of 512;
`make_dataset` converts them to TensorFlow. Histories are in a file of events (by reference) or in
each row (inline). Training steps use batches in memory, as if reading took no time. Ratios of rows
per second are relative to LMN.
"""

import sys
import tempfile
from pathlib import Path

from timer import Benchmark, Contender, Work
from workload import compiled_model, spec_of, training_steps, write_log

LAYOUTS = ("by reference", "inline")


def build_reader(folder, length, inline, batch, shuffle_buffer, tensors):
    """A pass over the data, as arrays or as tensors."""
    from lmn_tf.data.learning.vocabulary import learn
    from lmn_tf.data.reading.batch_reader import BatchReader

    spec = spec_of(length, inline)
    files = str(Path(folder) / "train-*.parquet")
    learn(spec, files)
    reader = BatchReader(
        spec, files, batch_size=batch, shuffle=True, seed=1, shuffle_buffer=shuffle_buffer
    )
    if not tensors:

        def read():
            for _ in reader.read(0):
                pass

        return Work(read, examples=reader.num_rows)
    from lmn_tf.data.dataset import reader_dataset

    dataset = reader_dataset(reader)

    def pull():
        for _ in dataset:
            pass

    return Work(pull, examples=reader.num_rows)


def build_training(folder, length, model, batch, options):
    """A training step on batches in memory."""
    import lmn_tf

    spec = spec_of(length)
    files = str(Path(folder) / "train-*.parquet")
    dataset = lmn_tf.make_dataset(spec, files, batch_size=batch, drop_remainder=True, learn=True)
    step = training_steps(compiled_model(model, spec, **options), dataset, 4)
    return Work(step, examples=batch)


def contenders(folders, length, batch, shuffle_buffer, memory):
    """Training steps, then passes over the data."""
    train = {"folder": folders["by reference"], "length": length, "batch": batch}
    for model, options in (("lmn", memory), ("din", {})):
        arguments = {"model": model, "options": options, **train}
        yield Contender(f"train {model.upper()}", build_training, arguments)
    for tensors, title in ((False, "BatchReader"), (True, "make_dataset")):
        for name, log_folder in folders.items():
            arguments = {
                "folder": log_folder,
                "length": length,
                "inline": name == "inline",
                "batch": batch,
                "shuffle_buffer": shuffle_buffer,
                "tensors": tensors,
            }
            target = 5.0 if length == 1_000 else None
            yield Contender(f"{title}, {name}", build_reader, arguments, at_least=target)


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv)
    quick = benchmark.quick
    rows, batch, lengths = (200, 16, (8,)) if quick else (20_000, 512, (50, 200, 1_000))
    memory = {"num_keys": 10, "top_k": 4} if quick else {"num_keys": 300, "top_k": 32}
    for length in lengths:
        with tempfile.TemporaryDirectory() as folder:
            folders = {name: str(Path(folder) / name) for name in LAYOUTS}
            for name, log_folder in folders.items():
                Path(log_folder).mkdir()
                write_log(log_folder, rows, length, inline=name == "inline")
            # The shuffle buffer is smaller than the data, so that each pass decodes all of them.
            benchmark.compare(
                f"histories of {length:,}, batches of {batch}",
                *contenders(folders, length, batch, rows // 3, memory),
                rounds=5 if length == 1_000 else None,  # steps of many seconds
            )
    return benchmark.finish()


if __name__ == "__main__":
    sys.exit(main())
