import numpy as np
import pyarrow as pa
import pytest
from small_shop import shop_rows, shop_spec, write_events, write_parquet

from lmn_tf.data.dataset import make_dataset
from lmn_tf.data.encoding.table_encoder import TableEncoder
from lmn_tf.serving.histories_in_rows import with_histories_in_rows


@pytest.mark.parametrize("keep", ["newest", "oldest"])
def test_rows_encode_as_those_by_reference(tmp_path, keep):
    rows, events = shop_rows(60)
    write_events(tmp_path, events)
    spec = shop_spec(by_reference=True, keep=keep)
    dataset = make_dataset(spec, write_parquet(tmp_path, rows), batch_size=60, learn=True)
    want = next(iter(dataset))[0]
    changed = with_histories_in_rows(spec)
    names = {f"history__{name}": name for name in rows[0] if name.startswith("h_")}
    assert set(names) == set(changed.history_columns())
    given = [{new: row[old] for new, old in names.items()} | row for row in rows]
    table = pa.Table.from_pylist(given).select(changed.columns(labels=False))
    block = TableEncoder(changed, {}, labels=False).encode(table, "rows", 0)
    found = type(block).join([block]).batch(np.arange(60))[0]
    np.testing.assert_array_equal(found["history/length"], want["history/length"])
    for at in range(60):  # rows of a user share events in one form alone
        for field in ("item", "dwell", "look"):
            parts = []
            for batch in (found, want):
                first = int(batch["history/first"][at])
                parts.append(
                    np.asarray(batch[f"history/{field}"])[
                        first : first + want["history/length"][at]
                    ]
                )
            np.testing.assert_array_equal(*parts)
    np.testing.assert_array_equal(found["history/elapsed"], want["history/elapsed"])


def test_lists_in_rows_stay():
    spec = shop_spec()
    assert with_histories_in_rows(spec) == spec
