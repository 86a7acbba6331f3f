import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from padded_batch import padded
from raw_market import raw_rows, raw_spec
from small_shop import shop_rows, shop_spec, write_events, write_parquet

from lmn_tf.data.dataset import make_dataset
from lmn_tf.serving.raw.raw_encoder import RawEncoder
from lmn_tf.serving.raw.raw_rows import RawRows, raw_batches
from lmn_tf.specs.errors import UserError


@pytest.fixture(scope="module", params=["newest", "oldest"])
def shop(request, tmp_path_factory):
    """The spec, files of rows with histories by reference, and its raw encoder."""
    folder = tmp_path_factory.mktemp("shop")
    rows, events = shop_rows(60)
    write_events(folder, events)
    spec = shop_spec(by_reference=True, keep=request.param)
    files = write_parquet(folder, rows)
    dataset = make_dataset(spec, files, batch_size=25, learn=True, labels=False)
    return spec, files, dataset, RawEncoder(spec, folder), rows


def test_histories_by_reference_come_in_the_rows(shop):
    spec, files, dataset, encoder, _ = shop
    batches = list(raw_batches(spec, files, batch_size=25, limit=55))
    assert [len(batch["item"]) for batch in batches] == [25, 25, 5]
    for inputs, want in zip(batches, dataset, strict=True):
        found = encoder.rows({name: tf.constant(values) for name, values in inputs.items()})
        found, want = (padded(batch, spec.sequences) for batch in (found, want))
        for key in found:
            count = len(found[key])
            np.testing.assert_allclose(found[key], want[key][:count], rtol=3e-7, err_msg=key)


def test_requests_may_carry_the_history_that_files_hold_by_reference(shop):
    spec, _, dataset, encoder, rows = shop
    inline = shop_spec(keep=spec.sequences[0].keep)
    given = RawRows(inline).inputs(pa.Table.from_pylist(rows[:25]))
    inputs = {
        name: given[name if name in given else name.removeprefix("history__")]
        for name in encoder.columns.inputs
    }
    assert "history__h_item" in inputs and inputs["history__length"].max() > 12
    found = encoder.rows({name: tf.constant(values) for name, values in inputs.items()})
    found, want = (padded(batch, spec.sequences) for batch in (found, next(iter(dataset))))
    for key in found:
        np.testing.assert_allclose(found[key], want[key], rtol=3e-7, err_msg=key)


def test_events_after_the_request_are_not_read(shop):
    spec, files, _, _, rows = shop
    inputs = next(raw_batches(spec, files, batch_size=60, limit=60))
    assert inputs["history__length"].tolist() == [min(row["count"], 12) for row in rows]


def test_fewer_rows_than_asked(shop):
    spec, files, *_ = shop
    assert sum(len(batch["item"]) for batch in raw_batches(spec, files, 25, limit=10**6)) == 60


def test_an_unknown_user_is_refused(shop):
    spec, files, _, _, rows = shop
    table = pa.Table.from_pylist([{**rows[0], "user": "nobody", "count": 2}])
    with pytest.raises(UserError, match="the user must be in .*events.arrow. Received: 'nobody'"):
        RawRows(spec, files.rpartition("/")[0]).inputs(table)


@pytest.mark.parametrize("unit", ["second", "millisecond", "nanosecond"])
def test_times_in_their_unit(unit):
    spec = raw_spec(time_unit=unit)
    table = raw_rows(spec, 5)
    inputs = RawRows(spec).inputs(table)
    want = table["time"].to_numpy()
    assert inputs["time"].dtype == (np.int64 if unit == "nanosecond" else np.float64)
    if unit == "nanosecond":
        want = want // 1000 * 1000
    np.testing.assert_array_equal(inputs["time"], want)
