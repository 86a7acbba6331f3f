import pytest

from lmn_tf.data.formats import open_files
from lmn_tf.data.reading.checksum import verify_checksum

NAMED = {"user": "user_id", "item": "item_id", "time": "time", "category": ("category",)}


@pytest.mark.parametrize("longest", [1, 5, 200])
def test_inline_lists_are_the_newest_events(log, prepared, slow_twin, longest):
    by_reference = prepared("interactions", log, **NAMED)
    inline = prepared(
        "interactions", log, **NAMED, history="inline", max_history=longest, rows_per_file=50
    )
    assert not (inline / "events.arrow").exists()
    assert len(list(inline.glob("train-*.parquet"))) > 1
    events = {}
    for event in slow_twin.events(by_reference):
        events.setdefault(event["user_id"], []).append(event)
    for split in ("train", "valid", "test"):
        pairs = zip(slow_twin.rows(by_reference, split), slow_twin.rows(inline, split), strict=True)
        for row, listed in pairs:
            seen = events[row["user_id"]][: row["history_count"]][-longest:]
            for name in ("item_id", "time", "category"):
                assert listed.pop(f"history_{name}") == [event[name] for event in seen]
            assert row == listed


def test_shards_hold_the_rows_in_order(log, prepared, slow_twin):
    whole = prepared("interactions", log, **NAMED)
    parts = prepared("interactions", log, **NAMED, rows_per_file=70)
    assert len(list(parts.glob("train-*.parquet"))) == 6
    assert slow_twin.rows(parts, "train") == slow_twin.rows(whole, "train")


def test_every_file_has_its_checksum(log, prepared):
    folder = prepared("interactions", log, **NAMED, rows_per_file=70)
    files = [*folder.glob("*.parquet"), folder / "events.arrow"]
    assert {path.name for path in folder.glob("*.sha256")} == {f"{p.name}.sha256" for p in files}
    for path in files:
        verify_checksum(path)
    other = folder / "train-00001.parquet"
    (folder / "train-00000.parquet").write_bytes(other.read_bytes())
    units = open_files(str(folder / "train-*.parquet"))
    with pytest.raises(ValueError, match="train-00000.parquet: the file must have the SHA-256"):
        list(units[0].tables(["time"]))
