"""Latency of the server at half its capacity and at twice, for users with candidates and for rows.

Requests are those of LMN, untrained and with its default options, over histories of 50 events of a
width of 32, within the rows. One user with 100 candidates, or ten rows of one user. The capacity is
what eight clients get that each wait for their answers; then requests arrive at half of this rate
and at twice, whether or not earlier ones were answered. Client and server share the machine. Times
begin when a request is due. Scores are compared with those of `Scorer`.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from timer import Benchmark
from workload import at_rate, compiled_model, figures, in_turn, options_of, spec_of, write_log

ITEM_COLUMNS = ("item_id", "category", "price")
CLIENTS = 8
LEVELS = (("half the capacity", 0.5), ("twice the capacity", 2.0), ("half, after that", 0.5))
MOST_P99 = 3.0  # relative to p50, below the capacity


def export(folder, length, name, options):
    """Exports an untrained model over a click log; returns the rows of the log."""
    import pyarrow.parquet as pq

    import lmn_tf
    from lmn_tf.serving.saved_model import MODEL_FOLDER, save
    from lmn_tf.specs.learned.spec_folder import write_spec

    spec = spec_of(length, inline=True)
    write_log(folder, 2_000, length, inline=True)
    files = str(folder / "train-*.parquet")
    lmn_tf.make_dataset(spec, files, batch_size=1, learn=True)
    model = compiled_model(name, spec, **options)
    write_spec(spec, folder / "export")
    save(model, folder / "export" / MODEL_FOLDER)
    return pq.read_table(folder / "train-0.parquet").drop_columns(["click"]).to_pylist()


def requests_of(rows, candidates, users):
    """Requests for many candidates of users, and for ten rows of each."""
    of_items = [{key: row[key] for key in ITEM_COLUMNS} for row in rows[:candidates]]
    steps = rows[:: len(rows) // users][:users]
    of_users = [{key: row[key] for key in row if key not in ITEM_COLUMNS} for row in steps]
    return {
        f"1 user, {candidates} candidates": [
            {"user": user, "candidates": of_items} for user in of_users
        ],
        "10 rows of 1 user": [
            {"rows": [{**user, **item} for item in of_items[:10]]} for user in of_users
        ],
    }


@contextlib.contextmanager
def server(folder):
    """Runs the server in a process of its own, and gives its port."""
    command = [sys.executable, "-m", "lmn_tf.cli.main", "serve", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.terminate()


def largest_difference(samples, want):
    """The largest difference of a score from that of the `Scorer`."""
    import numpy as np

    largest = 0.0
    for sample in samples:
        if sample.status == 200:
            scores = np.array(json.loads(sample.body)["scores"]["click"])
            largest = max(largest, float(np.abs(scores - want[sample.index]).max()))
    return largest


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv)
    quick = benchmark.quick
    length, candidates, users, seconds = (6, 6, 4, 0.5) if quick else (50, 100, 50, 30.0)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        rows = export(folder, length, "lmn", options_of("lmn", quick))
        with server(folder / "export") as port:
            for case, documents in requests_of(rows, candidates, users).items():
                case = f"{case}, history of {length}"
                if benchmark.is_wanted(case):
                    _measure(benchmark, case, port, folder / "export", documents, seconds)
    return benchmark.finish()


def _measure(benchmark, case, port, folder, documents, seconds):
    from lmn_tf.serving import Scorer

    scorer = Scorer(folder)
    want = [
        (scorer.score(one["rows"]) if "rows" in one else scorer.score_candidates(**one))["click"]
        for one in documents
    ]
    bodies = [json.dumps(document).encode() for document in documents]
    in_turn(port, bodies, CLIENTS, seconds / 10)
    benchmark.report(case, "one client", figures(in_turn(port, bodies, 1, seconds), seconds))
    samples = in_turn(port, bodies, CLIENTS, seconds)
    benchmark.report(case, f"{CLIENTS} clients: the capacity", figures(samples, seconds))
    rate = len(samples) / seconds
    for label, share in LEVELS:
        samples = at_rate(port, bodies, share * rate, seconds)
        facts = {"due/s": share * rate, **figures(samples, seconds)}
        facts["scores differ by"] = f"{largest_difference(samples, want):.1e}"
        if share < 1:
            ratio = facts["p99 ms"] / facts["p50 ms"]
            met = "met" if ratio <= MOST_P99 else "missed"
            facts["p99 / p50"] = f"{ratio:.1f}, ≤ {MOST_P99:g} {met}"
        benchmark.report(case, label, facts)


if __name__ == "__main__":
    sys.exit(main())
