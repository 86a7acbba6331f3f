import hashlib

import duckdb

from lmn_tf.data.preparers.sql import quoted, seeded_hash, text


def test_names_and_texts_are_quoted():
    name, value = 'a "b"', "it's"
    row = duckdb.sql(f"SELECT {text(value)} AS {quoted(name)}")
    assert row.columns == [name] and row.fetchall() == [(value,)]


def test_hash_depends_on_seed_purpose_and_columns():
    sql = [
        seeded_hash(1, "order", "1", "'a'"),
        seeded_hash(2, "order", "1", "'a'"),
        seeded_hash(1, "draw", "1", "'a'"),
        seeded_hash(1, "order", "2", "'a'"),
        seeded_hash(1, "order", "NULL", "'a'"),
    ]
    values = duckdb.sql(f"SELECT {', '.join(sql)}").fetchall()[0]
    assert len(set(values)) == 5
    assert values[0] == int.from_bytes(hashlib.md5(b"1/order|1|a").digest()[8:], "little")
