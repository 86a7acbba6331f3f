"""Synthetic markets as Parquet files, with the best possible metrics."""

import collections
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lmn_tf import atomic_files
from lmn_tf.data.cooccurrence_market import CooccurrenceMarket
from lmn_tf.data.item_pairs_market import ItemPairsMarket
from lmn_tf.data.reading.checksum import write_checksum
from lmn_tf.data.synthetic_market import SyntheticMarket, history_positions, split_of
from lmn_tf.specs.errors import UserError, did_you_mean

KINDS = {
    "market": SyntheticMarket,
    "cooccurrence": CooccurrenceMarket,
    "item_pairs": ItemPairsMarket,
}
SPLITS = ("train", "valid", "test")
EVENTS_FILE = "events.arrow"

# Ceilings that are told; that of co-occurrence only where no others are.
_BLIND_TO = {"pairs": "the pair effects", "taste_and_pairs": "tastes and the pair effects"}
_BINS = 1 << 16
_LIMIT = 16.0  # logits are binned from -16 to 16
_ROW_GROUP = 50_000


def generate(
    output_dir: str | os.PathLike,
    *,
    kind: str = "market",
    history: str = "inline",
    by_day: bool = False,
    **options: Any,
) -> dict:
    """Writes train, valid and test Parquet files of a synthetic market.

    Splits are periods of time: the first 80 % for training, then 10 % and 10 %. The folder also has
    `oracle.json` (AUC and log loss of the true probabilities, and AUC without some of the causes:
    the best expected metrics of any model) and `report.json` (arguments and counts), which is
    written last. Memory does not grow with the number of rows, and the same arguments write the
    same files.

    Args:
        output_dir: Folder to write to, which is created if it does not exist. Files of the same
            names are replaced.
        kind: String. `"market"`, a `SyntheticMarket`; `"cooccurrence"`, a `CooccurrenceMarket`; or
            `"item_pairs"`, an `ItemPairsMarket`. Defaults to `"market"`.
        history: String. `"inline"` writes the history of each row as list columns; `"events"`
            writes the events of every user once, to `events.arrow` with a checksum file, and in
            each row the number of events before it (`event_count`). Defaults to `"inline"`.
        **options: Arguments of the market, such as `rows` and `seed`.

    Returns:
        The report as a dict.

    Raises:
        UserError: If an option is unknown or out of range.

    Example:

    >>> import tempfile
    >>> report = generate(tempfile.mkdtemp(), users=50, items=30, rows=500)
    >>> sum(report["rows"].values())
    500
    """
    market = _market(kind, options)
    if history not in ("inline", "events"):
        raise UserError(f'`history` must be "inline" or "events". Received: history={history!r}')
    if not isinstance(by_day, bool):
        raise UserError(f"`by_day` must be true or false. Received: by_day={by_day!r}")
    # A killed run leaves no partial data set.
    with atomic_files.atomic_content(output_dir, last="report.json") as folder:
        report, oracle = _write(market, kind, history, by_day, folder)
        for name, content in (("oracle.json", oracle), ("report.json", report)):
            (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    return report


def ensure(
    output_dir: str | os.PathLike,
    *,
    kind: str = "market",
    history: str = "inline",
    by_day: bool = False,
    **options: Any,
) -> dict:
    """Generates the market unless the folder already contains it.

    Args:
        output_dir: Folder of the data.
        kind: As in `generate`. Defaults to `"market"`.
        history: As in `generate`. Defaults to `"inline"`.
        by_day: As in `generate`. Defaults to `False`.
        **options: As in `generate`.

    Returns:
        The report as a dict.

    Raises:
        UserError: If an option is unknown or out of range, or if the folder contains a market with
            other arguments.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> ensure(folder, users=50, items=30, rows=500) == ensure(folder, users=50, items=30, rows=500)
    True
    """
    path = Path(output_dir) / "report.json"
    if not path.exists():
        return generate(output_dir, kind=kind, history=history, by_day=by_day, **options)
    wanted = _arguments(_market(kind, options), kind, history, by_day)
    report = json.loads(path.read_text())
    held = {"kind": "market", "by_day": False, **report.get("arguments", {})}
    for name, value in wanted.items():
        if held.get(name) != value:
            raise UserError(
                f"`{name}` must be the one the data in this folder were made with, "
                f"{held.get(name)!r}. Received: {name}={value!r}. Delete the folder to make them "
                "anew, or name another.",
                file=str(path),
            )
    return report


def ceiling_text(output_dir: str | os.PathLike) -> str:
    """Returns the best possible metrics on the test rows (or all days) of a market, as text.

    Args:
        output_dir: Folder of the data.

    Returns:
        Text.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> report = generate(folder, users=50, items=30, rows=500)
    >>> print(ceiling_text(folder))
    Ceiling on the test rows (the true probabilities): AUC 0.9052, log loss 0.4088
    Ceiling of a model blind to the pair effects: AUC 0.6733
    """
    oracle = json.loads((Path(output_dir) / "oracle.json").read_text())
    rows = "test rows" if "test" in oracle else "rows of all days"
    oracle = oracle["test"] if "test" in oracle else oracle["days"]
    if oracle["auc"] is None:
        return f"No ceiling: the {rows} do not hold both labels."
    without = oracle["auc_without"]
    lines = [
        f"Ceiling on the {rows} (the true probabilities): AUC {oracle['auc']:.4f}, "
        f"log loss {oracle['logloss']:.4f}"
    ]
    for name in [name for name in _BLIND_TO if name in without] or ["co_occurrence"]:
        effects = _BLIND_TO.get(name, "co-occurrence")
        lines.append(f"Ceiling of a model blind to {effects}: AUC {without[name]:.4f}")
    return "\n".join(lines)


def _market(
    kind: str, options: dict[str, Any]
) -> SyntheticMarket | CooccurrenceMarket | ItemPairsMarket:
    if kind not in KINDS:
        raise UserError(
            f"`kind` must be {' or '.join(KINDS)}. Received: kind={kind!r}."
            f"{did_you_mean(kind, KINDS)}"
        )
    known = [field.name for field in dataclasses.fields(KINDS[kind])]
    for name in options:
        if name not in known:
            raise UserError(
                "The synthetic market's arguments must be known ones. "
                f"Received: {name}={options[name]!r}.{did_you_mean(name, known)}"
            )
    return KINDS[kind](**options)


def _arguments(market, kind: str, history: str, by_day: bool) -> dict[str, Any]:
    arguments = {"kind": kind, **dataclasses.asdict(market), "history": history}
    return {**arguments, "by_day": by_day}


def _write(market, kind: str, history: str, by_day: bool, folder: Path) -> tuple[dict, dict]:
    price = np.exp(np.random.default_rng([market.seed, 2]).normal(3.0, 0.7, size=market.items))
    price = price.round(2)
    parts = ("days",) if by_day else SPLITS
    ceilings = {part: _Ceiling(market.blind_to) for part in parts}
    writers: dict[str, Any] = {}
    rows: collections.Counter = collections.Counter()
    lengths = 0
    try:
        for chunk in market.chunks():
            if history == "events":
                _append_events(writers, folder, market, chunk)
            table = _rows(market, chunk, price, history)
            lengths += int(np.minimum(chunk["count"], market.history_length).sum())
            order = np.argsort(chunk["time"], kind="stable")
            for ceiling, name, chosen in _parts(chunk["time"][order], by_day):
                ceilings[ceiling].add(chunk, order[chosen])
                rows[name] += len(chosen)
                _append_rows(writers, folder, name, table.take(pa.array(order[chosen])))
    finally:
        for writer in writers.values():
            writer.close()
    if EVENTS_FILE in writers:
        write_checksum(folder / EVENTS_FILE)
    rows = {name: rows[name] for name in (sorted(rows) if by_day else SPLITS)}
    report = {
        "dataset": "synthetic",
        "arguments": _arguments(market, kind, history, by_day),
        "rows": rows,
        "clicks": {part: ceiling.clicks for part, ceiling in ceilings.items()},
        "mean_history_length": round(lengths / sum(rows.values()), 3),
    }
    return report, {part: ceilings[part].result() for part in parts if part != "train"}


def _parts(time: np.ndarray, by_day: bool):
    """Yields the name of the ceiling, the name of the file and the rows of each period."""
    if not by_day:
        part = split_of(time)
        for number, split in enumerate(SPLITS):
            yield split, split, np.flatnonzero(part == number)
        return
    day = time // 86_400
    for number in np.unique(day):
        name = f"day-{np.datetime64(int(number), 'D')}"
        yield "days", name, np.flatnonzero(day == number)


def _rows(market, chunk: dict, price: np.ndarray, history: str) -> pa.Table:
    """Rows of a chunk as in a log, without causes and logits."""
    columns = {
        "user_id": pa.array(chunk["user"]),
        "segment": pa.array(chunk["segment"]),
        "item_id": pa.array(chunk["item"]),
        "category": pa.array(chunk["item"] % market.categories),
        "price": pa.array(price[chunk["item"]]),
        "time": pa.array(chunk["time"]),
        "hour": pa.array(chunk["time"] // 3600 % 24),
        "click": pa.array(chunk["click"]),
    }
    if history == "events":
        columns["event_count"] = pa.array(chunk["count"])
        return pa.table(columns)
    row, position = history_positions(chunk["event"], chunk["count"], market.history_length)
    ends = np.cumsum(np.bincount(row, minlength=len(chunk["event"])))
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    for name, values in _event_columns(market, chunk).items():
        columns[name] = pa.ListArray.from_arrays(offsets, pa.array(values[position]))
    return pa.table(columns)


def _event_columns(market, chunk: dict) -> dict[str, np.ndarray]:
    columns = {
        "history_item_id": chunk["event_item"],
        "history_category": chunk["event_item"] % market.categories,
        "history_time": chunk["event_time"],
    }
    if "event_liked" in chunk:
        columns["history_liked"] = chunk["event_liked"]
    return columns


def _append_events(writers: dict, folder: Path, market, chunk: dict) -> None:
    table = pa.table({"user_id": chunk["event_user"], **_event_columns(market, chunk)})
    if EVENTS_FILE not in writers:
        writers[EVENTS_FILE] = pa.ipc.new_file(str(folder / EVENTS_FILE), table.schema)
    writers[EVENTS_FILE].write_table(table)


def _append_rows(writers: dict, folder: Path, name: str, table: pa.Table) -> None:
    if name not in writers:
        path = folder / (f"{name}-00000.parquet" if name in SPLITS else f"{name}.parquet")
        writers[name] = pq.ParquetWriter(
            path, table.schema, compression="zstd", write_page_checksum=True
        )
    writers[name].write_table(table, row_group_size=_ROW_GROUP)


class _Ceiling:
    """AUC and log loss of the true probabilities, in bounded memory.

    Logits are counted in 65,536 equal bins between -16 and 16; rows of one bin are ties.
    """

    def __init__(self, blind_to: dict[str, tuple[str, ...]]):
        self.blind_to = blind_to
        self.rows = self.clicks = 0
        self._loss = 0.0
        names = ("all", *blind_to)
        self._counts = {name: np.zeros((2, _BINS), dtype=np.int64) for name in names}

    def add(self, chunk: dict[str, np.ndarray], rows: np.ndarray) -> None:
        click, logit = chunk["click"][rows], chunk["logit"][rows]
        self.rows += len(rows)
        self.clicks += int(click.sum())
        self._loss += float(np.logaddexp(0.0, np.where(click == 1, -logit, logit)).sum())
        for name, counts in self._counts.items():
            score = logit - sum(chunk[cause][rows] for cause in self.blind_to.get(name, ()))
            scaled = (score + _LIMIT) / (2 * _LIMIT) * _BINS
            bins = np.clip(scaled, 0, _BINS - 1).astype(np.int64)
            for label in (0, 1):
                counts[label] += np.bincount(bins[click == label], minlength=_BINS)

    def result(self) -> dict[str, Any]:
        if self.clicks in (0, self.rows):  # no AUC without both labels
            return {"rows": self.rows, "clicks": self.clicks, "auc": None, "logloss": None}
        return {
            "rows": self.rows,
            "clicks": self.clicks,
            "auc": _auc(self._counts["all"]),
            "logloss": self._loss / self.rows,
            "auc_without": {name: _auc(self._counts[name]) for name in self.blind_to},
        }


def _auc(counts: np.ndarray) -> float:
    negatives, positives = counts
    below = np.cumsum(negatives) - negatives
    wins = (positives * (below + negatives / 2)).sum()
    return float(wins / (positives.sum() * negatives.sum()))
