"""Seeded damage to bytes, text, values and requests."""

import datetime
import decimal
import math

import numpy as np
import pyarrow as pa

_EDGE_BYTES = 512
_EXTREMES = (
    b"\x00" * 8,
    b"\xff" * 8,
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x80",
    b"\xff" * 7 + b"\x7f",
    b"\x01\x00\x00\x00",
)
SIGNS = (
    ",", "\t", ";", "|", "||", '"', '""', "\n", "\r", "\r\n", "\x00", "\ufeff", " ", "", "nan",
    "NaN", "inf", "-inf", "1e999", "1e5", "-1", "-0", "007", "0x10", "18446744073709551615",
    "99999999999999999999", "9" * 400, "1e-400", "1.5", "true", "null", "None", "2024-01-01", "é",
    "\u2028", "x" * 5000, ",,,,", "u1", "1700000000000",
)  # fmt: skip
CELLS = (
    None, True, 0, 1, -1, 7, 2**31, 2**53 + 1, 2**63, 2**64 - 1, 2**70, -(2**63), -(2**64), 0.0,
    -0.0, 0.5, 1e-320, 1e39, 1e300, math.nan, math.inf, -math.inf, "", " ", "x", "7", "007", "nan",
    "é\u2028", "x" * 5000, "\x00", b"x", b"\xff\xfe", [], [None], [1], ["x"], [[1]], [math.nan],
    list(range(300)), {}, {"a": 1}, (1, 2), {1}, datetime.datetime(2024, 1, 1),
    datetime.date(1, 1, 1), datetime.timedelta(days=1), decimal.Decimal("1.50"), object(),
    np.float32(3), np.int64(2), np.uint64(2**64 - 1), np.array([1, 2]), np.datetime64("NaT"),
)  # fmt: skip


def damage_bytes(raw, rng):
    """Returns a copy of `raw` with one to three places damaged.

    Half of the places lie at the ends, where headers and footers are.
    """
    damaged = bytearray(raw)
    for _ in range(rng.choice([1, 1, 2, 3])):
        at, kind = _place(len(damaged), rng), rng.randrange(8)
        if kind <= 2 and damaged:
            damaged[at] ^= 1 << rng.randrange(8)
        elif kind == 3:
            del damaged[at:]
        elif kind == 4:
            del damaged[at : at + rng.choice([1, 4, 8, 100])]
        elif kind == 5:
            damaged[at:at] = damaged[at : at + rng.choice([1, 8, 64])]
        elif kind == 6:
            extreme = rng.choice(_EXTREMES)
            damaged[at : at + len(extreme)] = extreme
        else:
            damaged[at : at + 64] = bytes(rng.randrange(256) for _ in range(64))
    return bytes(damaged)


def _place(length, rng):
    if rng.random() < 0.5:
        near = rng.randrange(min(_EDGE_BYTES, max(length, 1)))
        return near if rng.random() < 0.5 else max(length - 1 - near, 0)
    return rng.randrange(max(length, 1))


def damage_text(text, rng):
    """Returns `text` with one to three slices removed, doubled or replaced by telling signs."""
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice([0, 1, 1, 2, 5, 40]))
        text = text[:start] + rng.choice([rng.choice(SIGNS), "", text[start:end] * 2]) + text[end:]
    return text


def odd_columns(count, rng):
    """Returns a column of `count` values of a type or range that few specs expect."""
    ints = [rng.choice([0, 1, 7, 40, 10**6]) for _ in range(count)]
    makers = (
        lambda: (
            pa.array(ints, rng.choice([pa.int8(), pa.int16()]), safe=False)
            if max(ints) < 100
            else pa.array(ints, pa.int32())
        ),
        lambda: pa.array([2**64 - 1 - value for value in ints], pa.uint64()),
        lambda: pa.array([2**63 - 1 - value for value in ints], pa.int64()),
        lambda: pa.array([rng.choice([0.5, 1e39, math.nan, math.inf]) for _ in ints]),
        lambda: pa.array([float(value) for value in ints], pa.float32()),
        lambda: pa.array([value / 7 for value in ints], pa.float32()).cast(pa.float16()),
        lambda: pa.array([str(value) for value in ints]),
        lambda: pa.array([str(value) for value in ints], pa.large_string()),
        lambda: pa.array([f"0{value}" for value in ints]).dictionary_encode(),
        lambda: pa.array([b"\xff%d" % value for value in ints], pa.binary()),
        lambda: pa.array([value % 2 == 0 for value in ints]),
        lambda: pa.nulls(count),
        lambda: pa.nulls(count, pa.int64()),
        lambda: pa.array([None, *ints[1:]], pa.int64()),
        lambda: pa.array([datetime.datetime(2024, 1, 1)] * count, pa.timestamp("ms")),
        lambda: pa.array([datetime.date(2024, 1, 1)] * count),
        lambda: pa.array([datetime.timedelta(1)] * count),
        lambda: pa.array([decimal.Decimal("1.5")] * count),
        lambda: pa.array([[value] * (value % 4) for value in ints], pa.list_(pa.int64())),
        lambda: pa.array([[value, None] for value in ints], pa.large_list(pa.int64())),
        lambda: pa.array([[str(value)] for value in ints]),
        lambda: pa.array([[float("nan"), value] for value in ints]),
        lambda: pa.array([[[value]] for value in ints]),
        lambda: pa.array([{"a": value} for value in ints]),
        lambda: pa.array([[("k", value)] for value in ints], pa.map_(pa.string(), pa.int64())),
        lambda: pa.array([[1.0, 2.0, 3.0]] * count, pa.list_(pa.float32(), 3)),
        lambda: pa.array([1_700_000_000_000 + value for value in ints]),
        lambda: pa.array([-value - 1 for value in ints]),
    )
    return rng.choice(makers)()


def damage_table(table, rng):
    """Returns a table with one to three columns replaced, renamed, doubled, lost or moved."""
    for _ in range(rng.randint(1, 3)):
        if not table.num_columns:
            return table
        at, kind = rng.randrange(table.num_columns), rng.randrange(8)
        name = table.column_names[at]
        if kind <= 3:
            table = table.set_column(at, name, odd_columns(table.num_rows, rng))
        elif kind == 4:
            table = table.remove_column(at)
        elif kind == 5:
            names = [*table.column_names]
            names[at] = rng.choice([name.upper(), f"{name} ", "x", rng.choice(names)])
            table = table.rename_columns(names)
        elif kind == 6:
            table = table.append_column(name, odd_columns(table.num_rows, rng))
        else:
            other = rng.randrange(table.num_columns)
            table = table.set_column(at, name, table.column(other))
    return table


def damage_request(rows, rng):
    """Returns copies of request rows with one to three cells or keys changed."""
    rows = [dict(row) for row in rows]
    for _ in range(rng.randint(1, 3)):
        row = rng.choice(rows)
        key, kind = rng.choice(list(row) or ["x"]), rng.randrange(6)
        if kind <= 2:
            row[key] = rng.choice(CELLS)
        elif kind == 3 and isinstance(row.get(key), list):
            row[key] = [*row[key], rng.choice(CELLS)]
        elif kind == 4:
            row.pop(key, None)
        else:
            row[rng.choice([f"{key}s", str(key)[:-1], "x", 7])] = row.pop(key, None)
    return rows
