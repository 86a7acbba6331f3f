"""Time of an exported model for one user with many candidates, with shared and padded histories.

First the model alone, on encoded features: a request has one user and 100 or 1,000 candidates. The
user was encoded before, and only the candidates are scored (signature `score_encoded`); or the user
is encoded with each request (`encode_events`, `encode_user`, `score_encoded`). In comparison, rows
share the user's events (`serving_windows`), or each has a padded copy of them (`serving_default`).
p50 and p99 are computed without the first two requests.

Then from raw columns to probabilities: `Scorer.score_candidates`, without a cache and with a user
who is in the cache, compared with `score`, called for each row and once for all rows. Events have a
width of 32, histories are by reference, and models have their default options.
"""

import sys
import tempfile
import time
from pathlib import Path

from timer import Benchmark, Contender, Work
from workload import compiled_model, options_of, spec_of, write_log

ITEM_COLUMNS = ("item_id", "category", "price")
# The others are compared with the first model.
MODELS = ("din", "lmn", "pooling")
# What a request runs; if the user is kept, the last one.
ENCODED = ("encode_events", "encode_user", "score_encoded")
SIGNATURES = {
    "kept": ENCODED,
    "encoded": ENCODED,
    "shared": ("serving_windows",),
    "padded": ("serving_default",),
}
AT_MOST = {"lmn": 1.1}
# Targets for the speed of `score_candidates`, relative to scoring row by row.
AT_LEAST = {"din": 2.0, "lmn": 2.0, "pooling": 10.0}
# Padded copies of more events take gigabytes.
MAX_PADDED = 200_000
ROWS_PER_STEP = 20  # when scoring row by row
CACHED = "score_candidates, user in the cache"


def build_request(folder, name, length, candidates, form, options):
    """Requests to a signature of an exported model."""
    import numpy as np
    import tensorflow as tf

    import lmn_tf
    from lmn_tf.serving.saved_model import MODEL_FOLDER, input_name, load

    exported = Path(folder) / f"{name}-{form}"
    model = _export(folder, name, length, exported, options)
    loaded = load(exported / MODEL_FOLDER)
    files = str(Path(folder) / "request.parquet")
    dataset = lmn_tf.make_dataset(model.spec, files, batch_size=candidates, labels=False)
    features = next(iter(dataset))
    if form == "padded":
        features = model.fit_driver.batches.padded(features)
    inputs = {input_name(key): tf.constant(value) for key, value in features.items()}
    if form in ("kept", "encoded"):
        columns = model.encoder.request_signature()
        inputs |= {input_name(key): inputs[input_name(key)][:1] for key in columns.user}
        inputs |= {input_name(key): inputs[input_name(key)][:length] for key in columns.pairs}
    signatures, seconds = SIGNATURES[form], []

    def run(*signatures):
        given = dict(inputs)
        for signature in signatures:
            serve = loaded.signatures[signature]  # `loaded` owns the variables
            given |= serve(**{key: given[key] for key in serve.structured_input_signature[1]})
        return given

    if form == "kept":
        inputs, signatures = run(*signatures[:-1]), signatures[-1:]

    def step():
        started = time.perf_counter()
        run(*signatures)["click"].numpy()
        seconds.append(time.perf_counter() - started)

    def percentiles():
        p50, p99 = np.percentile(seconds[2:], [50, 99])
        return {"p50 ms": 1e3 * p50, "p99 ms": 1e3 * p99, "requests": len(seconds) - 2}

    return Work(step, examples=candidates, finish=percentiles)


def build_scoring(folder, name, length, method, options):
    """Candidates of one user, from raw columns to probabilities."""
    import pyarrow.parquet as pq

    from lmn_tf.serving import Scorer

    exported = Path(folder) / f"{name}-{method}"
    _export(folder, name, length, exported, options)
    cache_bytes = 2**28 if method == CACHED else 0
    scorer = Scorer(exported, events_dir=folder, cache_bytes=cache_bytes)
    rows = pq.read_table(Path(folder) / "request.parquet").to_pylist()
    if method == "row by row":
        first = rows[:ROWS_PER_STEP]
        return Work(lambda: [scorer.score([row]) for row in first], examples=len(first))
    if method == "in one call":
        return Work(lambda: scorer.score(rows), examples=len(rows))
    user = {key: value for key, value in rows[0].items() if key not in ITEM_COLUMNS}
    candidates = [{key: row[key] for key in ITEM_COLUMNS} for row in rows]
    return Work(lambda: scorer.score_candidates(user, candidates), examples=len(rows))


def _export(folder, name, length, exported, options):
    """Exports an untrained model and returns it."""
    import lmn_tf
    from lmn_tf.serving.saved_model import MODEL_FOLDER, save
    from lmn_tf.specs.learned.spec_folder import write_spec

    spec = spec_of(length)
    lmn_tf.make_dataset(spec, str(Path(folder) / "train-*.parquet"), batch_size=1, learn=True)
    model = compiled_model(name, spec, **options)
    write_spec(spec, exported)
    save(model, exported / MODEL_FOLDER)
    return model


def write_request(folder, candidates):
    """Writes `request.parquet`: the candidates of the first user of a log."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(Path(folder) / "train-0.parquet").slice(0, candidates).to_pylist()
    user = {key: value for key, value in rows[0].items() if key not in ITEM_COLUMNS}
    table = pa.Table.from_pylist([{**row, **user} for row in rows])
    pq.write_table(table, Path(folder) / "request.parquet")


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv)
    options = {name: options_of(name, benchmark.quick) for name in MODELS}
    lengths, many, last = ((8,), (6,), (6, 8))
    if not benchmark.quick:
        lengths, many, last = (50, 200, 1_000), (100, 1_000), (500, 1_000)
    for length in lengths:
        for candidates in many:
            _compare_requests(benchmark, options, length, candidates)
    _compare_scoring(benchmark, options, *last)
    return benchmark.finish()


def _compare_requests(benchmark, options, length, candidates):
    case = f"{candidates:,} candidates, histories of {length:,}"
    forms = ["encoded", "shared"] + ["padded"] * (length * candidates <= MAX_PADDED)
    with tempfile.TemporaryDirectory() as folder:
        _write(folder, length, candidates)
        common = {"folder": folder, "length": length, "candidates": candidates}
        for title, some in ((f"{case}, user encoded before", ["kept"]), (case, forms)):
            benchmark.compare(
                title,
                *(
                    Contender(
                        f"{name}, {form}",
                        build_request,
                        {**common, "name": name, "form": form, "options": options[name]},
                        at_most=AT_MOST.get(name) if form == "kept" else None,
                    )
                    for form in some
                    for name in MODELS
                ),
                ratio="time",
                seconds=None if benchmark.quick else 2.0,
            )
    if "padded" not in forms:
        why = f"{length * candidates:,} padded events take gigabytes"
        benchmark.leave_out(case, "padded", why)


def _compare_scoring(benchmark, options, candidates, length):
    with tempfile.TemporaryDirectory() as folder:
        _write(folder, length, candidates)
        for name in MODELS[:1] if benchmark.quick else MODELS:
            arguments = {"folder": folder, "name": name, "length": length, "options": options[name]}
            benchmark.compare(
                f"{name}: {candidates:,} candidates from raw columns, history of {length:,}",
                *(
                    Contender(
                        method,
                        build_scoring,
                        {**arguments, "method": method},
                        at_least=AT_LEAST[name] if method == "score_candidates" else None,
                    )
                    for method in ("row by row", "in one call", "score_candidates", CACHED)
                ),
                rounds=5,
            )


def _write(folder, length, candidates):
    write_log(folder, rows=max(candidates, 2_000), length=length)
    write_request(folder, candidates)


if __name__ == "__main__":
    sys.exit(main())
