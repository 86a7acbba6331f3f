"""Speed of the product-key memory layer, compared with the usual implementation in PyTorch.

Both compute the query projection, two-stage search, softmax and weighted read-out. A training step
adds the gradients of all weights and of the inputs, Adam for the projection and the keys, and a
sparse update of the values. PyTorch: `topk` twice, k x k candidates, `embedding_bag(sparse=True)`
with weights, fused Adam, and Adagrad or SparseAdam for the values. Weights are equal, and outputs
and gradients of the first queries are compared before the timing. All run on the CPU.
"""

import sys

from timer import Benchmark, Contender, Work, cores

TOLERANCE = 1e-4  # float32 sums in another order
COMPARED = 64  # queries whose outputs and gradients are compared
CPU = {"CUDA_VISIBLE_DEVICES": ""}


def build_ours(num_keys, dim, k, queries, optimizer=None):
    """`ProductKeyMemory`; a forward pass only without `optimizer`, that of the values."""
    import keras
    import tensorflow as tf

    import lmn_tf

    layer = lmn_tf.layers.ProductKeyMemory(num_keys, k, query_norm="none", key_norm=False)
    layer.build((None, dim))
    given = _weights(num_keys, dim)
    for dense, key in ((layer.row_query, "row"), (layer.column_query, "column")):
        dense.kernel.assign(given[f"{key}_kernel"])
    layer.row_keys.assign(given["row_keys"][None])
    layer.column_keys.assign(given["column_keys"][None])
    layer.memory_values.assign(given["values"])
    variables = layer.trainable_variables
    rule = None
    if optimizer is not None:
        rule = getattr(lmn_tf.optimizers, optimizer)(0.01)
        rule = lmn_tf.optimizers.GroupOptimizer(keras.optimizers.Adam(0.001), rule)
        rule.build(variables)
    inputs, upstream = (tf.constant(array) for array in _inputs(queries, dim))

    @tf.function(reduce_retracing=True)
    def forward(inputs):
        return layer(inputs, training=False)

    def gradients(inputs, upstream):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(layer(inputs, training=True) * upstream)
        return tape.gradient(loss, [inputs, *variables])

    @tf.function
    def train(inputs, upstream):
        of_inputs, *of_variables = gradients(inputs, upstream)
        rule.apply(of_variables, variables)
        return of_inputs

    def output():
        of_inputs, *_ = tf.function(gradients)(inputs[:COMPARED], upstream[:COMPARED])
        return _scaled(forward(inputs[:COMPARED]).numpy(), of_inputs.numpy())

    step = (lambda: forward(inputs)) if rule is None else (lambda: train(inputs, upstream))
    return Work(step, examples=queries, output=output)


def build_torch(num_keys, dim, k, queries, optimizer=None):
    """The same layer in PyTorch."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(cores())
    # Off by default; PyTorch warns unless they are disabled explicitly.
    torch.sparse.check_sparse_tensor_invariants.disable()
    given = {key: torch.from_numpy(value) for key, value in _weights(num_keys, dim).items()}
    projection = torch.nn.Linear(dim, 2 * dim)
    with torch.no_grad():
        kernels = torch.cat([given["row_kernel"], given["column_kernel"]], dim=1)
        projection.weight.copy_(kernels.T)
        projection.bias.zero_()
    row_keys = torch.nn.Parameter(given["row_keys"])
    column_keys = torch.nn.Parameter(given["column_keys"])
    values = torch.nn.Parameter(given["values"].clone())
    inputs, upstream = (torch.from_numpy(array) for array in _inputs(queries, dim))
    inputs.requires_grad_(optimizer is not None)

    def layer(inputs):
        rows, columns = projection(inputs).chunk(2, dim=1)
        best_rows, row_ids = (rows @ row_keys.T).topk(k)
        best_columns, column_ids = (columns @ column_keys.T).topk(k)
        sums = (best_rows[:, :, None] + best_columns[:, None, :]).view(-1, k * k)
        slots = (row_ids[:, :, None] * num_keys + column_ids[:, None, :]).view(-1, k * k)
        scores, indices = sums.topk(k)
        weights = scores.softmax(dim=1)
        slots = slots.gather(1, indices)
        return F.embedding_bag(slots, values, mode="sum", per_sample_weights=weights, sparse=True)

    def forward():
        with torch.inference_mode():
            return layer(inputs)

    if optimizer is not None:
        rules = [
            torch.optim.Adam([*projection.parameters(), row_keys, column_keys], 0.001, fused=True),
            getattr(torch.optim, optimizer)([values], 0.01),
        ]

    def train():
        inputs.grad = None
        for rule in rules:
            rule.zero_grad(set_to_none=True)
        (layer(inputs) * upstream).sum().backward()
        for rule in rules:
            rule.step()

    def output():
        first = inputs[:COMPARED].detach().clone().requires_grad_()
        outputs = layer(first)
        (gradient,) = torch.autograd.grad((outputs * upstream[:COMPARED]).sum(), first)
        return _scaled(outputs.detach().numpy(), gradient.numpy())

    return Work(forward if optimizer is None else train, examples=queries, output=output)


def _weights(num_keys, dim):
    import numpy as np

    random = np.random.default_rng(7)

    def normal(*shape):
        return random.standard_normal(shape, np.float32) * np.float32(dim**-0.5)

    return {
        "row_kernel": normal(dim, dim),
        "column_kernel": normal(dim, dim),
        "row_keys": normal(num_keys, dim),
        "column_keys": normal(num_keys, dim),
        "values": normal(num_keys**2, dim),
    }


def _inputs(queries, dim):
    import numpy as np

    random = np.random.default_rng(8)
    return [random.standard_normal((queries, dim), np.float32) for _ in range(2)]


def _scaled(output, gradient):
    """Output and gradient of the inputs, scaled to the same range."""
    import numpy as np

    return np.stack([output / np.abs(output).max(), gradient / np.abs(gradient).max()])


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv)
    quick = benchmark.quick
    k = 4 if quick else 32
    shapes = [(20, 8, 64)] if quick else [
        (num_keys, dim, queries)
        for queries in (6_400, 25_600)
        for num_keys in (300, 1_000)
        for dim in (32, 64)
    ]  # fmt: skip
    for num_keys, dim, queries in shapes:
        sizes = {"num_keys": num_keys, "dim": dim, "k": k, "queries": queries}
        title = f"√n {num_keys:,}, d {dim}, k {k}, {queries:,} queries"

        def torch(rule=None, sizes=sizes):
            label = f"torch, {rule}" if rule else "torch"
            arguments = {**sizes, "optimizer": rule}
            return Contender(label, build_torch, arguments, needs=("torch",), environment=CPU)

        def ours(target, rule=None, sizes=sizes):
            label = f"lmn_tf, {rule}" if rule else "lmn_tf"
            arguments = {**sizes, "optimizer": rule}
            return Contender(label, build_ours, arguments, at_least=target, environment=CPU)

        benchmark.compare(f"forward, {title}", torch(), ours(1.0), agree=TOLERANCE)
        benchmark.compare(
            f"step, {title}",
            torch("Adagrad"),
            ours(1.5, "RowWiseAdagrad"),
            ours(1.5, "SparseAdagrad"),
            agree=TOLERANCE,
        )
        benchmark.compare(
            f"step, {title}", torch("SparseAdam"), ours(1.5, "RowWiseAdam"), agree=TOLERANCE
        )
    benchmark.note(
        f"Outputs and gradients of the inputs agree within {TOLERANCE} on the first {COMPARED} "
        "queries."
    )
    return benchmark.finish()


if __name__ == "__main__":
    sys.exit(main())
