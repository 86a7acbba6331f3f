import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer
from replicas import replicas

from lmn_tf.layers import KeyedPairMemory, PairMemory
from lmn_tf.ops import SharedWindow, Windows
from lmn_tf.optimizers import RowWiseSGD

NUM_ROWS, NUM_COLUMNS, WIDTH = 7, 5, 3
MASK = np.arange(6) < np.array([[0], [1], [4], [6]])
COLUMN_IDS = np.array([2, 4, 1, 3])
KEYS, ROW_IDS, CANDIDATE_IDS = (
    {"row_codes": rows, "column_codes": columns}
    for rows, columns in (("keys", "keys"), ("ids", "keys"), ("keys", "ids"))
)
KINDS = pytest.mark.parametrize("kinds", [KEYS, ROW_IDS, CANDIDATE_IDS], ids=str)


def made(kinds, **options):
    """A memory of random weights, and the inputs of four rows."""
    keras.utils.set_random_seed(4)
    initializer = options.pop("value_initializer", keras.initializers.RandomNormal(stddev=1.0))
    memory = KeyedPairMemory(
        NUM_ROWS, NUM_COLUMNS, **kinds, value_initializer=initializer, **options
    )
    rng = np.random.default_rng(0)
    rows, columns = (np.float32(rng.normal(size=size)) for size in ((4, 6, WIDTH), (4, WIDTH)))
    if kinds["row_codes"] == "ids":
        rows = rng.integers(0, NUM_ROWS, (4, 6))
    if kinds["column_codes"] == "ids":
        columns = COLUMN_IDS
    memory(rows, columns)
    for weight in memory.weights:  # those that start at 0 or 1 as well
        if "memory_values" not in weight.path:
            weight.assign(rng.normal(size=weight.shape))
    return memory, rows, columns


def table_of(memory, weights):
    """The values, of shape `(num_rows, num_columns, num_values)`."""
    table = weights["memory_values"]
    if memory.column_codes == "ids":
        return table.reshape(NUM_COLUMNS, NUM_ROWS, -1).transpose(1, 0, 2)
    return table.reshape(NUM_ROWS, NUM_COLUMNS, -1)


def named(memory):
    """The weights by the rest of their paths, in float64."""
    return {weight.path.split("/", 1)[1]: np.float64(weight) for weight in memory.weights}


def normalized(x, epsilon):
    return (x - x.mean()) / np.sqrt(x.var() + epsilon)


def code_of(memory, weights, axis, given):
    """The code of one event or candidate, as a vector."""
    count = NUM_ROWS if axis == "row" else NUM_COLUMNS
    if getattr(memory, f"{axis}_codes") == "ids":
        return np.eye(count)[given] * (given >= 2)
    own = {key.split("/", 1)[1]: w for key, w in weights.items() if key.startswith(f"{axis}_keys/")}
    query = np.float64(given) @ own["query/kernel"] + own["query/bias"]
    query = normalized(query, 1e-3) * own["query_normalization/gamma"]
    query += own["query_normalization/beta"]
    keys = np.stack([normalized(key, 1e-6) for key in own["keys"]])
    scores = keys * own["key_normalization/gamma"] @ query / WIDTH**0.5
    best = np.argsort(-scores)[: memory.top_k]
    code = np.zeros(count)
    code[best] = np.exp(scores[best] - scores.max())
    return code / code.sum()


def summed(memory, weights, rows, columns, mask=MASK):
    """The result, one pair after another."""
    table = table_of(memory, weights)
    result = np.zeros((len(columns), memory.num_values))
    for row, column in enumerate(columns):
        candidate = code_of(memory, weights, "column", column)
        for event in rows[row][mask[row]]:
            code = code_of(memory, weights, "row", event)
            for r, c in zip(*np.nonzero(np.outer(code, candidate)), strict=True):
                result[row] += code[r] * candidate[c] * table[r, c]
        power = {"sum": 0.0, "mean": 1.0, "sqrtn": 0.5}[memory.pooling]
        result[row] /= max(mask[row].sum(), 1) ** power
    return result


def test_is_a_good_layer():
    rng = np.random.default_rng(0)
    inputs = {"rows": rng.normal(size=(4, 6, 8)), "columns": rng.normal(size=(4, 8))}
    arguments = {"num_rows": 7, "num_columns": 5, "top_k": 3, "num_values": 2}
    keras.utils.set_random_seed(1)
    arguments["value_initializer"] = keras.initializers.RandomNormal()
    check_layer(KeyedPairMemory, arguments, inputs, MASK[::-1], zero_when_empty=True)


@KINDS
@pytest.mark.parametrize(
    "options",
    [{}, {"num_values": 3, "pooling": "sqrtn", "top_k": 2}, {"pooling": "mean", "top_k": 9}],
    ids=str,
)
def test_the_product_of_codes_is_the_sum_over_pairs(run_mode, kinds, options):
    memory, rows, columns = made(kinds, **options)
    output = run_mode(lambda rows: memory(rows, columns, mask=MASK))(tf.constant(rows))
    want = summed(memory, named(memory), rows, columns)
    assert np.abs(want).max() > 0.01
    np.testing.assert_allclose(output, want, rtol=1e-4, atol=1e-6)


@KINDS
def test_gradients_are_those_of_the_sum_over_pairs(kinds):
    memory, rows, columns = made(kinds, num_values=2, top_k=3)
    factors = np.arange(1.0, 9).reshape(4, 2)
    vectors = {"rows": rows, "columns": columns}
    vectors = {key: tf.constant(x) for key, x in vectors.items() if x.dtype == np.float32}
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        inputs = {"rows": rows, "columns": columns, **vectors}
        output = memory(**inputs, mask=MASK, training=True)
        loss = tf.reduce_sum(output * tf.cast(factors, tf.float32))
    variables = dict(zip(named(memory), (weight.value for weight in memory.weights), strict=True))
    got = tape.gradient(loss, variables | vectors)
    assert isinstance(got["memory_values"], tf.IndexedSlices)
    at = named(memory) | {key: np.float64(x) for key, x in vectors.items()}

    def loss_at(values):
        inputs = {"rows": rows, "columns": columns} | {key: values[key] for key in vectors}
        return np.sum(summed(memory, values, **inputs) * factors)

    for key, value in at.items():
        want = np.zeros(value.shape)
        for place in np.ndindex(value.shape):
            step = np.zeros(value.shape)
            step[place] = 1e-6
            ends = [loss_at({**at, key: value + sign * step}) for sign in (1, -1)]
            want[place] = (ends[0] - ends[1]) / 2e-6
        found = tf.convert_to_tensor(got[key])
        np.testing.assert_allclose(found, want, rtol=1e-3, atol=1e-5, err_msg=key)
        assert np.abs(want).max() > 1e-3, key


def one_hot_axis(memory, axis):
    """Lets the code of the vector `e_i` be the one-hot vector of key `i`, to rounding."""
    keys = getattr(memory, f"_{axis}_keys")
    size = keys.keys.shape[0]
    keys.keys.assign(np.eye(size))
    keys.query.kernel.assign(np.eye(size))
    keys.query.bias.assign(np.zeros(size))
    keys.query_normalization.gamma.assign(np.full(size, 300.0))


def test_one_hot_codes_are_a_memory_of_ids():
    ids = PairMemory(NUM_ROWS, NUM_COLUMNS)
    ids.build()
    table = np.random.default_rng(0).normal(size=(NUM_ROWS, NUM_COLUMNS))
    ids.memory_values.assign(table.reshape(-1, 1))
    rng = np.random.default_rng(1)
    rows, columns = rng.integers(2, NUM_ROWS, (4, 6)), rng.integers(2, NUM_COLUMNS, 4)
    want = ids(rows, columns, mask=MASK)
    vectors = np.float32(np.eye(NUM_ROWS)[rows]), np.float32(np.eye(NUM_COLUMNS)[columns])
    for kinds in (KEYS, ROW_IDS, CANDIDATE_IDS):
        memory = KeyedPairMemory(NUM_ROWS, NUM_COLUMNS, **kinds)
        inputs = [
            vectors[0] if kinds["row_codes"] == "keys" else rows,
            vectors[1] if kinds["column_codes"] == "keys" else columns,
        ]
        memory(*inputs)
        for axis in ("row", "column"):
            if kinds[f"{axis}_codes"] == "keys":
                one_hot_axis(memory, axis)
        own = table.T if kinds["column_codes"] == "ids" else table
        memory.memory_values.assign(own)
        np.testing.assert_allclose(memory(*inputs, mask=MASK), want, rtol=1e-6, atol=1e-6)


def test_values_of_rank_two_are_a_bilinear_form():
    """With `V = P W Q^T`, `z = sum_j (P^T a_j)^T W (Q^T b)`."""
    memory, rows, columns = made(KEYS)
    rng = np.random.default_rng(1)
    left, middle, right = (
        rng.normal(size=size) for size in ((NUM_ROWS, 2), (2, 2), (NUM_COLUMNS, 2))
    )
    memory.memory_values.assign(left @ middle @ right.T)
    weights = named(memory)
    events = np.zeros((4, 2))
    for row in range(4):
        for event in rows[row][MASK[row]]:
            events[row] += code_of(memory, weights, "row", event) @ left
    candidates = [code_of(memory, weights, "column", column) @ right for column in columns]
    want = np.einsum("bi,ij,bj->b", events, middle, candidates)
    np.testing.assert_allclose(memory(rows, columns, mask=MASK)[:, 0], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", ["row", "column"])
def test_the_order_of_keys_is_of_no_effect(axis):
    memory, rows, columns = made(KEYS)
    want = memory(rows, columns, mask=MASK)
    keys = getattr(memory, f"_{axis}_keys").keys
    order = np.random.default_rng(1).permutation(keys.shape[0])
    keys.assign(keys.numpy()[order])
    assert np.abs(memory(rows, columns, mask=MASK) - want).max() > 1e-3
    memory.memory_values.assign(
        np.take(memory.memory_values.numpy(), order, axis=("row", "column").index(axis))
    )
    np.testing.assert_allclose(memory(rows, columns, mask=MASK), want, rtol=1e-5, atol=1e-6)


@KINDS
def test_a_new_memory_adds_nothing_and_learns(kinds):
    memory, rows, columns = made(kinds, value_initializer="zeros")
    with tf.GradientTape() as tape:
        output = memory(rows, columns, mask=MASK)
        loss = tf.reduce_sum(output * [[1.0], [2.0], [3.0], [4.0]])
    np.testing.assert_array_equal(output, np.zeros((4, 1)))
    gradient = tf.convert_to_tensor(tape.gradient(loss, memory.memory_values.value))
    assert np.abs(gradient).max() > 0.1


@KINDS
def test_rows_share_events(kinds):
    memory, rows, columns = made(kinds, pooling="sqrtn")
    events = rows[0, :5]
    windows = Windows([0, 1, 3, 5], [2, 2, 2, 0], num_events=5)
    padded = np.stack([events[[0, 1]], events[[1, 2]], events[[3, 4]], events[[0, 0]]])
    output = memory(events, columns, windows=windows)
    want = memory(padded, columns, mask=np.array([[1, 1], [1, 1], [1, 1], [0, 0]], bool))
    np.testing.assert_allclose(output, want, rtol=1e-5, atol=1e-7)
    assert float(output[3, 0]) == 0.0
    one = memory(events, columns, windows=SharedWindow(num_events=5, batch=4))
    want = memory(np.repeat(events[None], 4, axis=0), columns)
    np.testing.assert_allclose(one, want, rtol=1e-5, atol=1e-7)


@KINDS
def test_padding_changes_nothing(kinds):
    memory, rows, columns = made(kinds)
    want = memory(rows, columns, mask=MASK)
    keep = MASK[..., None] if rows.ndim > 2 else MASK
    dirty = np.where(keep, rows, np.nan if rows.ndim > 2 else NUM_ROWS - 1).astype(rows.dtype)
    np.testing.assert_array_equal(memory(dirty, columns, mask=MASK), want)
    longer = np.pad(rows, ((0, 0), (2, 0), (0, 0))[: rows.ndim])
    mask = np.pad(MASK, ((0, 0), (2, 0)))
    np.testing.assert_allclose(memory(longer, columns, mask=mask), want, rtol=1e-5, atol=1e-7)
    assert float(want[0, 0]) == 0.0


@KINDS
def test_reads_are_those_of_codes(run_mode, kinds):
    memory, rows, columns = made(kinds)

    def read(rows):
        told = []
        with memory.watched(lambda *one: told.append(one)):
            memory(rows, columns, mask=MASK)
        [(reading, counts)] = told
        counts = tf.ones(tf.shape(reading.slots)[0]) if counts is None else counts
        return reading.slots, reading.weights, tf.cast(counts, tf.float32)

    slots, weights, counts = (part.numpy() for part in run_mode(read)(tf.constant(rows)))
    got = np.zeros(memory.memory_size)
    np.add.at(got, slots[:, 0], weights[:, 0] * counts[:, None])
    own = named(memory)
    if kinds["column_codes"] == "ids":
        read = [code_of(memory, own, "column", column) for column in columns]
    else:
        read = [code_of(memory, own, "row", event) for event in rows[MASK]]
    want = np.sum(read, axis=0)
    assert want.sum() > 1
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_shared_events_are_read_as_often_as_rows_see_them():
    memory, rows, columns = made(ROW_IDS)
    windows = Windows([0, 0, 0, 2], [1, 2, 2, 1], num_events=3)
    told = []
    with memory.watched(lambda *one: told.append(one)):
        memory(np.array([3, 1, 4]), columns, windows=windows)
    [(reading, counts)] = told
    assert np.asarray(reading.slots)[:, 0, 0].tolist() == [3, 1, 4]
    assert np.asarray(counts).tolist() == [3.0, 0.0, 1.0]


@KINDS
def test_config_and_saving(tmp_path, kinds):
    memory, rows, columns = made(kinds, num_values=2, pooling="mean", memory_placement="row_wise")
    config = json.loads(json.dumps(memory.get_config()))
    assert KeyedPairMemory.from_config(config).get_config() == memory.get_config()
    shapes = (None, *rows.shape[2:]), columns.shape[1:]
    inputs = [
        keras.Input(shape, dtype=given.dtype.name)
        for shape, given in zip(shapes, (rows, columns), strict=True)
    ]
    model = keras.Model(inputs, memory(*inputs))
    assert model.output.shape == (None, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded([rows, columns]), model([rows, columns]))


@KINDS
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_stores_whole_values(policy, kinds):
    memory, rows, columns = made(kinds)
    want = memory(rows, columns, mask=MASK)
    half = KeyedPairMemory.from_config({**memory.get_config(), "dtype": policy})
    half(rows, columns)
    half.set_weights(memory.get_weights())
    output = half(rows, columns, mask=MASK)
    assert output.dtype == half.compute_dtype
    assert all(weight.dtype == "float32" for weight in half.weights)
    np.testing.assert_allclose(tf.cast(output, "float32"), want, rtol=0.05, atol=2e-3)


@pytest.mark.parametrize("placement", ["replicated", "row_wise"])
@pytest.mark.parametrize("kinds", [KEYS, CANDIDATE_IDS], ids=str)
def test_two_replicas_learn_what_one_device_does(placement, kinds):
    def trained(strategy):
        with strategy.scope():
            memory, rows, columns = made(kinds, memory_placement=placement)
            weights = memory.get_weights()
            memory = KeyedPairMemory.from_config(memory.get_config())
            inputs = [
                keras.Input(given.shape[1:], dtype=given.dtype.name) for given in (rows, columns)
            ]
            model = keras.Model(inputs, memory(*inputs))
            memory.set_weights(weights)
            model.compile(RowWiseSGD(0.5), "mse")
        batch = (rows, columns), np.ones((4, 1), "float32")
        dataset = tf.data.Dataset.from_tensors(batch).unbatch().batch(4)
        model.fit(dataset, epochs=2, shuffle=False, verbose=0)
        return weights, memory.get_weights()

    (before, one), (_, two) = trained(tf.distribute.get_strategy()), trained(replicas(2))
    for first, got, want in zip(before, two, one, strict=True):
        assert np.abs(want - first).max() > 1e-3
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_rows": 0}, "`num_rows` must be a positive integer. Received: num_rows=0"),
        ({"num_columns": -1}, "`num_columns` must be a positive integer. Received: num_columns=-1"),
        ({"top_k": 0}, "`top_k` must be a positive integer. Received: top_k=0"),
        ({"num_values": 1.5}, "`num_values` must be a positive integer. Received: num_values=1.5"),
        ({"row_codes": "id"}, "`row_codes` must be one of 'ids', 'keys'. Received: row_codes='id'"),
        ({"column_codes": "x"}, "`column_codes` must be one of 'ids', 'keys'. Received: "),
        (
            {"row_codes": "ids", "column_codes": "ids"},
            "`row_codes` or `column_codes` must be 'keys': .* Received: row_codes='ids', column_",
        ),
        ({"pooling": "max"}, "`pooling` must be one of 'sum', 'mean', 'sqrtn'. Received: pooling="),
        ({"memory_placement": "x"}, "`memory_placement` must be one of 'replicated', 'row_wise'."),
    ],
)
def test_arguments_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        KeyedPairMemory(**{"num_rows": 3, "num_columns": 3, **changes})


@pytest.mark.parametrize(
    ("codes", "axes"), [("keys", r"\(batch, length, d\)"), ("ids", r"\(batch, length\)")]
)
def test_rows_have_the_axes_of_their_codes(codes, axes):
    rows = np.ones((2, 3) if codes == "keys" else (2, 3, 4), "float32")
    with pytest.raises(ValueError, match=f"`rows` must have shape {axes}. Received: "):
        KeyedPairMemory(3, 3, row_codes=codes)(rows, np.ones((2, 4), "float32"))
