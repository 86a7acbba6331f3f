"""Speed and idle time of training on parameter servers on one machine, with one worker and two.

Training steps of LMN, with tables on one server or split row-wise over two, compared with `fit` in
one process on the same batches in memory. Workers and servers are processes of this machine and
share its cores: a second worker can only use the time in which the first waits for rows and for the
coordinator. This is the idle share: the part of the time that a worker is not in a step. Processor
time per step is shown for the coordinator, all workers and all servers. On separate machines, steps
per second grow with the number of workers until the coordinator, which distributes the batches, or
a server is busy all the time.
"""

import atexit
import multiprocessing.forkserver
import os
import sys
import tempfile
import time

from timer import Benchmark, Contender, Work, cores
from timer.machine import cpu_seconds
from workload import compiled_model, spec_of, training_steps, write_log

STEPS = 8  # per turn, enough to keep all workers busy


def options_of(memory, placement="replicated"):
    """Options of the model."""
    return {**memory, "memory_placement": placement}


def build_alone(folder, length, batch, memory):
    """Steps in one process, as in plain Keras."""
    spec, dataset = data(folder, length, batch)
    step = training_steps(compiled_model("lmn", spec, **options_of(memory)), dataset, 4)

    def steps():
        for _ in range(STEPS):
            step()

    return Work(steps, examples=STEPS * batch)


def build_cluster(folder, length, batch, memory, workers, servers, placement):
    """The same steps on workers."""
    from lmn_tf.distribute.cluster.cluster import connect
    from lmn_tf.distribute.cluster.local_servers import LocalServers

    local = LocalServers(workers, servers).__enter__()
    atexit.register(local.stop)
    strategy = connect(local.cluster)
    spec, dataset = data(folder, length, batch)
    with strategy.scope():
        model = compiled_model("lmn", spec, **options_of(memory, placement))
    model._maybe_symbolic_build()
    step = training_steps(model, dataset, 4)
    for _ in range(2 * workers):  # until all workers have traced it
        step()
    model.fit_driver.finish_steps()
    coordination, seconds = model.fit_driver.coordination, []
    coordination.reset()
    before = processor_seconds(local, workers, servers)

    def steps():
        started = time.perf_counter()
        for _ in range(STEPS):
            step()
        model.fit_driver.finish_steps()
        seconds.append(time.perf_counter() - started)

    def finish():
        busy = coordination.busy_seconds.sum() / (workers * sum(seconds))
        passed = coordination.staleness()
        taken = processor_seconds(local, workers, servers)
        count = STEPS * len(seconds)
        end(local)
        return {
            "idle %": round(100 * (1 - busy), 1),
            **{f"{role} ms": round(1e3 * (taken[role] - before[role]) / count) for role in taken},
            "staleness": round(passed["staleness"], 2),
            "most": int(passed["staleness_max"]),
        }

    return Work(steps, examples=STEPS * batch, finish=finish)


def end(local):
    """Stops all servers and their fork server, whose time would count as that of others."""
    local.stop()
    multiprocessing.forkserver._forkserver._stop()


def processor_seconds(local, workers, servers):
    """Processor time of each part of the cluster so far."""
    return {
        "coordinator": cpu_seconds(os.getpid()),
        "worker": sum(cpu_seconds(local.pid("worker", index)) for index in range(workers)),
        "server": sum(cpu_seconds(local.pid("ps", index)) for index in range(servers)),
    }


def data(folder, length, batch):
    """The spec with its vocabularies, and batches."""
    import lmn_tf

    spec = spec_of(length)
    files = f"{folder}/train-*.parquet"
    return spec, lmn_tf.make_dataset(spec, files, batch_size=batch, drop_remainder=True, learn=True)


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv)
    sizes = {"length": 50, "batch": 512, "memory": {"num_keys": 300, "top_k": 32}}
    if benchmark.quick:
        sizes = {"length": 4, "batch": 16, "memory": {"num_keys": 6, "top_k": 4}}
    with tempfile.TemporaryDirectory() as folder:
        write_log(folder, rows=5 * sizes["batch"], length=sizes["length"])
        common = {"folder": folder, **sizes}
        clusters = [
            (f"{workers} worker{'s' * (workers > 1)}, {words}", workers, servers, placement)
            for words, servers, placement in (
                ("1 server", 1, "replicated"),
                ("rows on 2 servers", 2, "row_wise"),
            )
            for workers in (1, 2)
        ]
        result = benchmark.compare(
            f"LMN, batches of {sizes['batch']}, histories of {sizes['length']}, "
            f"√n {sizes['memory']['num_keys']}",
            Contender("one process", build_alone, common),
            *(
                Contender(
                    title,
                    build_cluster,
                    {**common, "workers": workers, "servers": servers, "placement": placement},
                )
                for title, workers, servers, placement in clusters
            ),
        )
    add_notes(benchmark, result)
    return benchmark.finish()


def add_notes(benchmark, result):
    """Adds notes on the speed with a second worker, and on idle time."""
    rows = {row["contender"]: row for row in (result or {}).get("contenders", [])}
    for words in ("1 server", "rows on 2 servers"):
        one, two = rows.get(f"1 worker, {words}"), rows.get(f"2 workers, {words}")
        if one and two and "seconds" in one and "seconds" in two:
            gain = one["seconds"]["median"] / two["seconds"]["median"]
            rate = STEPS / two["seconds"]["median"]
            benchmark.note(
                f"{words}: {gain:.2f} times the steps a second with a second worker "
                f"({rate:.1f} steps a second), on {cores()} cores for all processes; "
                f"workers idle {one['facts']['idle %']} % of the time, then "
                f"{two['facts']['idle %']} %."
            )


if __name__ == "__main__":
    sys.exit(main())
