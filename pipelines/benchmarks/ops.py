"""Time and memory of each op and of a plain TensorFlow twin, as a graph and under XLA.

The twins are the simplest implementations: the full k x k grid of candidates, gather and einsum,
`tf.unique` and `unsorted_segment_sum`. Outputs are compared before the timing. The last cases
measure peak memory rather than time.
"""

import contextlib
import sys
from unittest import mock

from timer import Benchmark, Contender, Work, cores

TOLERANCE = 1e-5  # float32 sums in another order


def build_search(twin, compiled, num_keys, k, queries, part=None):
    """Two-stage search: `product_key_top_k`, a part of it, or its twin with k x k candidates."""
    import numpy as np
    import tensorflow as tf

    from lmn_tf.ops import plain_kernels, product_key_top_k
    from lmn_tf.ops.search import slot_search

    def all_pairs(k, num_keys):
        return np.divmod(np.arange(k * k, dtype="int32"), k)

    def search_part(rows, columns, k):
        alone = {
            "pruning": plain_kernels(),
            "counting": mock.patch.object(slot_search, "rank_pairs", all_pairs),
        }
        with alone.get(part, contextlib.nullcontext()):
            return product_key_top_k(rows, columns, k)

    def full_grid(rows, columns, k):
        best_rows, row_ids = tf.math.top_k(rows, k)
        best_columns, column_ids = tf.math.top_k(columns, k)
        sums = tf.reshape(best_rows[:, :, None] + best_columns[:, None, :], [-1, k * k])
        slots = tf.reshape(row_ids[:, :, None] * num_keys + column_ids[:, None, :], [-1, k * k])
        scores, indices = tf.math.top_k(sums, k)
        return scores, tf.gather(slots, indices, batch_dims=1)

    search = full_grid if twin else search_part
    run = tf.function(lambda rows, columns: search(rows, columns, k), jit_compile=compiled)
    inputs = [_normal(seed, queries, num_keys) for seed in (1, 2)]
    return _work(run, inputs, lambda results: results[0])


def build_scored_search(kind, compiled, num_keys, dim, k, queries):
    """Scores of queries and keys, search, and the gradients of both."""
    import tensorflow as tf

    from lmn_tf.ops import product_key_search, product_key_top_k

    def scored(row_queries, column_queries, row_keys, column_keys):
        rows = tf.matmul(row_queries, row_keys, transpose_b=True)
        columns = tf.matmul(column_queries, column_keys, transpose_b=True)
        if kind == "product_key_top_k":
            return product_key_top_k(rows, columns, k)[0]
        best = tf.math.top_k(rows, k)[0][:, :, None] + tf.math.top_k(columns, k)[0][:, None, :]
        return tf.math.top_k(tf.reshape(best, [-1, k * k]), k)[0]

    def search(*inputs):
        return (
            product_key_search(*inputs, k)[0] if kind == "product_key_search" else scored(*inputs)
        )

    def forward_and_backward(upstream, *inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            scores = search(*inputs)
        return scores, *tape.gradient(scores, inputs, output_gradients=upstream)

    run = tf.function(forward_and_backward, jit_compile=compiled)
    inputs = [_normal(0, queries, k)]
    inputs += [_normal(seed, queries, dim) for seed in (1, 2)]
    inputs += [_normal(seed, num_keys, dim) for seed in (3, 4)]
    return _work(run, inputs, lambda results: results[0])


def build_gather(twin, compiled, size, dim, k, queries, backward, plain=False):
    """Weighted sum of rows: `weighted_gather`, or gather and einsum."""
    import tensorflow as tf

    from lmn_tf.ops import merge_duplicates, plain_kernels, weighted_gather

    def gather_and_einsum(table, slots, weights):
        return tf.einsum("nk,nkd->nd", weights, tf.gather(table, slots))

    def read_out(table, slots, weights):
        with plain_kernels() if plain else contextlib.nullcontext():
            return weighted_gather(table, slots, weights, for_training=backward)

    read = gather_and_einsum if twin else read_out
    table = tf.Variable(_normal(0, size, dim))

    def forward(slots, weights, upstream):
        return read(table, slots, weights)

    def forward_and_backward(slots, weights, upstream):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            output = read(table, slots, weights)
        return output, *tape.gradient(output, [table, weights], output_gradients=upstream)

    @tf.function
    def merged(slots, weights, upstream):
        """Merges the gradients of equal rows, as the optimizer needs it."""
        output, of_table, of_weights = compute(slots, weights, upstream)
        return output, merge_duplicates(of_table.indices, of_table.values), of_weights

    compute = forward_and_backward if backward else forward
    if compiled:
        compute = tf.function(compute, jit_compile=True)
    run = merged if backward else tf.function(compute)
    slots = tf.random.stateless_uniform([queries, k], [0, 2], 0, size, tf.int32)
    inputs = [slots, tf.nn.softmax(_normal(3, queries, k)), _normal(4, queries, dim)]
    return _work(run, inputs, lambda results: results[2] if backward else results)


def build_merge(twin, hits, size, dim):
    """Sum of the rows that share an id, by `merge_duplicates` or by `unsorted_segment_sum`."""
    import tensorflow as tf

    from lmn_tf.ops import merge_duplicates

    def unique_and_segment_sum(ids, rows):
        unique, indices = tf.unique(ids)
        return unique, tf.math.unsorted_segment_sum(rows, indices, tf.size(unique))

    run = tf.function(unique_and_segment_sum if twin else merge_duplicates)
    # The square makes some slots frequent, as in a trained memory.
    shares = tf.random.stateless_uniform([hits], [0, 5]) ** 2
    ids = tf.cast(shares * size, tf.int32)
    return _work(run, [ids, _normal(6, hits, dim)], lambda merged: _by_id(*merged))


def build_torch_search(num_keys, k, queries):
    """The same search with `torch.topk`."""
    import torch

    torch.set_num_threads(cores())
    rows, columns = (torch.from_numpy(_normal(seed, queries, num_keys)) for seed in (1, 2))

    @torch.no_grad()
    def search():
        best_rows, row_ids = rows.topk(k)
        best_columns, column_ids = columns.topk(k)
        sums = (best_rows[:, :, None] + best_columns[:, None, :]).view(-1, k * k)
        slots = (row_ids[:, :, None] * num_keys + column_ids[:, None, :]).view(-1, k * k)
        scores, indices = sums.topk(k)
        return scores, slots.gather(1, indices)

    return Work(search, output=lambda: search()[0].numpy())


def _normal(seed, *shape):
    import numpy as np

    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def _by_id(ids, rows):
    import tensorflow as tf

    return tf.gather(rows, tf.argsort(ids))


def _work(run, inputs, shown):
    import tensorflow as tf

    inputs = [tf.convert_to_tensor(value) for value in inputs]

    def step():
        run(*inputs)
        tf.test.experimental.sync_devices()

    return Work(step, output=lambda: shown(run(*inputs)).numpy())


def contenders(build, compiled=(False, True), **arguments):
    """The twin and the op, as a graph and under XLA."""
    return [
        Contender(
            f"{'twin' if twin else 'lmn_tf'}, {'XLA' if is_compiled else 'graph'}",
            build,
            {"twin": twin, "compiled": is_compiled, **arguments},
        )
        for is_compiled in compiled
        for twin in (True, False)
    ]


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv)
    quick = benchmark.quick
    queries, k = (64, 4) if quick else (6_400, 32)
    widths = (8,) if quick else (32, 64)
    for num_keys in (20,) if quick else (300, 1_000):
        size = num_keys**2
        cases = contenders(build_search, num_keys=num_keys, k=k, queries=queries)
        sizes = {"num_keys": num_keys, "k": k, "queries": queries}
        cases += [
            Contender(
                f"{part} alone, graph",
                build_search,
                {"twin": False, "compiled": False, "part": part, **sizes},
            )
            for part in ("pruning", "counting")
        ]
        cases.append(Contender("torch", build_torch_search, sizes, needs=("torch",)))
        title = f"√n {num_keys:,}, k {k}, {queries:,} queries"
        benchmark.compare(f"search, {title}", *cases, agree=TOLERANCE)
        for dim in widths:
            sizes = {"num_keys": num_keys, "dim": dim, "k": k, "queries": queries}
            cases = [
                Contender(
                    f"{kind}, {'XLA' if compiled else 'graph'}",
                    build_scored_search,
                    {"kind": kind, "compiled": compiled, **sizes},
                )
                for kind in ("twin", "product_key_top_k", "product_key_search")
                for compiled in (False, True)
            ]
            title_d = f"scores + search, forward + backward, {title}, d {dim}"
            benchmark.compare(title_d, *cases, agree=TOLERANCE)
            for backward in (False, True):
                cases = contenders(
                    build_gather, size=size, dim=dim, k=k, queries=queries, backward=backward
                )
                kind = "read-out, forward + backward + merge" if backward else "read-out, forward"
                benchmark.compare(f"{kind}, {title}, d {dim}", *cases, agree=TOLERANCE)
            hits = queries * k
            merge = {"hits": hits, "size": size, "dim": dim}
            benchmark.compare(
                f"merge, {hits:,} hits of {size:,} rows, d {dim}",
                Contender("twin", build_merge, {"twin": True, **merge}),
                Contender("lmn_tf", build_merge, {"twin": False, **merge}),
                agree=TOLERANCE,
            )
    large = {"size": 400, "dim": 8, "k": 8, "queries": 512}
    if not quick:
        large = {"size": 1_000_000, "dim": 64, "k": 128, "queries": 51_200}
    for backward in (False, True):
        kind = "forward + backward + merge" if backward else "forward"
        title = f"memory of the read-out, {kind}, {large['queries']:,} queries, k {large['k']}"
        cases = contenders(build_gather, backward=backward, **large)
        if backward:  # without a gradient, the plain kernels are used anyway
            plain = {"twin": False, "compiled": False, "plain": True, "backward": True, **large}
            cases.insert(2, Contender("lmn_tf, graph of plain kernels", build_gather, plain))
        benchmark.compare(f"{title}, d {large['dim']}", *cases, rounds=1 if quick else 3)
    benchmark.note(
        "The search consists of pruning, which leaves out pairs of ranks that cannot be among the "
        "best, and counting, which filters each axis by a bound from maxima of groups; each is "
        "also timed alone."
    )
    benchmark.note("Plain kernels are those that also exist for GPUs; here they ran on the CPU.")
    benchmark.note("`search` returns scores and slots; its twin breaks ties in another order.")
    return benchmark.finish()


if __name__ == "__main__":
    sys.exit(main())
