import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from padded_batch import padded
from raw_market import raw_rows, raw_spec
from small_shop import shop_rows, shop_spec, write_parquet

from lmn_tf.data.dataset import make_dataset
from lmn_tf.data.encoding.row_block import RowBlock
from lmn_tf.data.encoding.table_encoder import TableEncoder
from lmn_tf.serving.raw.raw_encoder import RawEncoder
from lmn_tf.serving.raw.raw_rows import RawRows


def graph_of(encoder, function):
    """The function as an export holds it: of any number of rows, events and values."""
    specs = {name: one.tensor_spec for name, one in encoder.columns.inputs.items()}
    return tf.function(function, input_signature=[specs], autograph=False)


def from_pipeline(spec, table):
    block = RowBlock.join([TableEncoder(spec, {}, labels=False).encode(table, "rows", 0)])
    features = block.batch(np.arange(table.num_rows))[0]
    features.pop("group", None)
    return features


def check_equal(spec, found, want):
    found = {key: values.numpy() for key, values in found.items()}
    found, want = (padded(batch, spec.sequences) for batch in (found, want))
    assert found.keys() == want.keys()
    for key, values in want.items():
        assert found[key].dtype == values.dtype, key
        if values.dtype == np.float32:
            # A step may be rounded another way before it is cast.
            np.testing.assert_allclose(found[key], values, rtol=3e-7, err_msg=key)
        else:
            np.testing.assert_array_equal(found[key], values, err_msg=key)


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    spec = raw_spec()
    encoder = RawEncoder(spec, tmp_path_factory.mktemp("vocabularies"))
    return spec, encoder, graph_of(encoder, encoder.rows)


def check_rows(encoded, count, seed):
    spec, _, graph = encoded
    table = raw_rows(spec, count or 1, seed).slice(0, count)
    check_equal(spec, graph(RawRows(spec).inputs(table)), from_pipeline(spec, table))


def test_ids_and_numbers_are_those_of_the_pipeline(encoded):
    check_rows(encoded, 200, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_ids_and_numbers_of_many_rows_are_those_of_the_pipeline(encoded, seed):
    check_rows(encoded, 1_000, seed=100 + seed)


@pytest.mark.parametrize("count", [0, 1])
def test_few_rows(encoded, count):
    check_rows(encoded, count, seed=3)


def test_candidates_share_what_is_of_the_user(tmp_path):
    rows = [{**row, "since": 7} for row in shop_rows(8)[0]]  # before any request
    spec, table = shop_spec(), pa.Table.from_pylist(rows)
    make_dataset(spec, write_parquet(tmp_path, rows), batch_size=8, learn=True)
    encoder = RawEncoder(spec, tmp_path)
    inputs = RawRows(spec).inputs(table)
    of_user = {name for name, one in encoder.columns.inputs.items() if one.of_user}
    given = {n: v[2:3] if n in of_user else v for n, v in inputs.items()}
    repeated = {n: np.repeat(v[2:3], 8, axis=0) if n in of_user else v for n, v in inputs.items()}
    found = encoder.candidates({name: tf.constant(values) for name, values in given.items()})
    want = encoder.rows({name: tf.constant(values) for name, values in repeated.items()})
    length = int(want["history/length"][0])
    assert length and found.keys() == want.keys() - {"history/first", "history/length"}
    for key, values in found.items():
        is_user = key in ("user", "age")
        shared = want[key][: 1 if is_user else length if key.startswith("history/") else 8]
        np.testing.assert_array_equal(values, shared, err_msg=key)
