"""Time of a training step if rows share the events of their histories.

Batches are in memory and have 1,024 rows (256 with histories of 1,000). Events have a width of 32
and no elapsed time; models have their default options. In one kind of batches, each row belongs to
another user; in the other, users have 16 rows each, as with `rows_per_group: 16`: the newest rows
of each user, whose histories grow by one event per row up to the given length.
"""

import sys
import tempfile
from pathlib import Path

from timer import Benchmark, Contender, Work
from workload import compiled_model, options_of, spec_of, training_steps, write_log

ROWS_PER_USER = 16
# Targets for the speed with 16 rows per user, relative to one.
AT_LEAST = {"lmn": 6.0, "pooling": 2.0, "din": 1.5, "imn": 1.5, "mimn": 3.0, "dien": 2.0}
LMN_AGAINST_DIN = 1.5


def build(folder, name, length, batch, options):
    """A training step of one model."""
    import lmn_tf

    spec = spec_of(length, elapsed=False)
    files = str(Path(folder) / "train-*.parquet")
    dataset = lmn_tf.make_dataset(spec, files, batch_size=batch, drop_remainder=True, learn=True)
    model = compiled_model(name, spec, **options)
    return Work(training_steps(model, dataset, 2), examples=batch)


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv)
    quick = benchmark.quick
    sizes = ((32, 20),) if quick else ((1_024, 50), (1_024, 200), (256, 1_000))
    for batch, length in sizes:
        with tempfile.TemporaryDirectory() as alone, tempfile.TemporaryDirectory() as shared:
            write_log(alone, rows=2 * batch, length=length, rows_per_user=1)
            write_log(shared, rows=2 * batch, length=length, rows_per_user=ROWS_PER_USER)
            common = {"length": length, "batch": batch}
            for name in ("pooling",) if quick else AT_LEAST:
                given = {**common, "name": name, "options": options_of(name, quick)}
                benchmark.compare(
                    f"{name}, histories of {length:,}",
                    Contender("1 row a user", build, {**given, "folder": alone}),
                    Contender(
                        f"{ROWS_PER_USER} rows a user",
                        build,
                        {**given, "folder": shared},
                        at_least=AT_LEAST[name] if length == 200 else None,
                    ),
                    rounds=3,
                )
            benchmark.compare(
                f"{ROWS_PER_USER} rows a user, histories of {length:,}",
                *(
                    Contender(
                        name,
                        build,
                        {
                            **common,
                            "name": name,
                            "options": options_of(name, quick),
                            "folder": shared,
                        },
                        at_most=LMN_AGAINST_DIN if name == "lmn" else None,
                    )
                    for name in ("din", "lmn")
                ),
                rounds=3,
                ratio="time",
            )
    return benchmark.finish()


if __name__ == "__main__":
    sys.exit(main())
