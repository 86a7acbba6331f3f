"""Relational plan of all preparers: named steps of portable SQL.

A preparer reads the files of a publisher into canonical tables and declares a `Plan`. `plan_steps`
returns the steps for both, each the body of one `CREATE TABLE ... AS`. This module does not run
SQL, so that other engines can execute the same steps.

Canonical tables (columns that start with `_` belong to the plan):

- `events(_user, _item, _time, _label, _seq, ...)`: the log. `_time` orders a user's events (seconds
  since 1970, or a position); `_label` is 0, 1 or NULL (an event that is history only); `_seq`
  breaks ties of `_time` by the order of the publisher's files, never what a row may see.
- `items(_item, ...)`, `users(_user, ...)`: attributes, one row per key: the first of several by
  `_seq` (optional), or that of the smallest values without it.
- `requests(_user, _history, _item, _time, _label, _count, _seq, ...)`: rows of impressions, if the
  publisher has them, instead of rows from events; `_history` is a `_user` of `events`.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmn_tf.data.preparers.options import PrepareOptions

SPLITS = ("train", "valid", "test")
_ROUNDS = ((1, 1), (8, 8), (64, 256))  # draws per round: factor of the number, constant


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: Any) -> str:
    """`value` as an SQL string."""
    return "'" + str(value).replace("'", "''") + "'"


def seeded_hash(seed: int, purpose: str, *columns: str) -> str:
    """SQL of a 64-bit number that depends on the seed, a purpose and the columns only."""
    parts = ", ".join(f"coalesce(CAST({column} AS VARCHAR), '')" for column in columns)
    return f"md5_number_lower(concat_ws('|', {text(f'{seed}/{purpose}')}, {parts}))"


@dataclasses.dataclass(frozen=True)
class Step:
    """A named table and its query."""

    name: str
    sql: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """Declaration of the canonical tables of a preparer.

    Args:
        dataset: String. Name of the data set and of its feature spec.
        user: String. Name of the user column in the rows.
        item: String. Name of the item column in the rows and in the history.
        label: String. Name of the label column.
        time: String. Name of the order column in rows and history.
        ordered_by: String. `"time"` or `"position"`.
        sampled: Boolean. Whether events are positives that need sampled negatives.
        repeats: Boolean. Whether users take items again. Defaults to `False`.
        requests: Boolean. Whether rows are those of the `requests` table. Defaults to `False`.
        context: tuple of strings, columns of an event known at its request. Defaults to `()`.
        history: tuple of strings, columns of `events` or `items` in histories, in addition to item
            and order. Defaults to `()`.
        user_columns: tuple of strings, columns of `users` copied to rows. Defaults to `()`.
        item_columns: tuple of strings, columns of `items` copied to rows. Defaults to `()`.
        history_time: Boolean. Whether events have the order column. Defaults to `True`.
        history_key: string or None, column with the user of a history. Defaults to `None`, the
            user column.
        notes: tuple of strings, sentences for the report. Defaults to `()`.
    """

    dataset: str
    user: str
    item: str
    label: str
    time: str
    ordered_by: str
    sampled: bool
    repeats: bool = False
    requests: bool = False
    context: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    user_columns: tuple[str, ...] = ()
    item_columns: tuple[str, ...] = ()
    history_time: bool = True
    history_key: str | None = None
    notes: tuple[str, ...] = ()


def plan_steps(plan: Plan, options: PrepareOptions) -> list[Step]:
    """Steps from canonical tables to `rows`: one row per example, with split and number by user."""
    steps = [] if plan.requests else [Step("numbered", _numbered())]
    steps.append(Step("targets", _targets(plan, options)))
    steps += _split(plan, options)
    if plan.sampled:
        steps += _negatives(plan, options)
    steps.append(Step("rows", _rows(plan)))
    steps += [Step(f"rows_{split}", _ordered(plan, options, split)) for split in SPLITS]
    return tuple(steps)


def splits_by_time(plan: Plan, options: PrepareOptions) -> bool:
    """Whether splits are at global times (otherwise at positions of each user)."""
    return options.split == "time" or (options.split == "auto" and plan.ordered_by == "time")


def excludes_log(plan: Plan, options: PrepareOptions) -> bool:
    """Whether no item that a user has anywhere in the log is a negative of the user's rows."""
    if options.negatives_exclude == "auto":
        return not plan.repeats
    return options.negatives_exclude == "log"


def _numbered():
    """Rank of an event of its user, and the number of strictly earlier ones (without ties)."""
    return """
SELECT *,
  row_number() OVER (PARTITION BY _user ORDER BY _time, _seq) - 1 AS _position,
  rank() OVER (PARTITION BY _user ORDER BY _time) - 1 AS _count
FROM events"""


def _targets(plan, options):
    enough = f"_count >= {options.min_history}"
    if plan.requests:
        return f"SELECT *, _seq AS _position FROM requests WHERE {enough}"
    return f"SELECT *, _user AS _history FROM numbered WHERE _label IS NOT NULL AND {enough}" + (
        " AND _label = 1" if plan.sampled else ""
    )


def _split(plan, options):
    if splits_by_time(plan, options):
        cuts = f"""
SELECT min(CASE WHEN rows_so_far >= {options.train_share} * total THEN _time END) AS train_end,
  min(CASE WHEN rows_so_far >= (1 - {options.test_share}) * total THEN _time END) AS valid_end
FROM (
  SELECT _time, sum(n) OVER (ORDER BY _time) AS rows_so_far, (SELECT count(*) FROM targets) AS total
  FROM (SELECT _time, count(*) AS n FROM targets GROUP BY _time) AS moments
) AS totals"""
        split = """
SELECT targets.*,
  CASE WHEN _time <= train_end THEN 0 WHEN _time <= valid_end THEN 1 ELSE 2 END AS _split
FROM targets CROSS JOIN cuts"""
        return [Step("cuts", cuts), Step("split", split)]
    split = f"""
SELECT * EXCLUDE (_rank, _rows),
  CASE WHEN _rows < 3 THEN 0
    WHEN _rank >= _rows - ceil(_rows * {options.test_share}) THEN 2
    WHEN _rank >= _rows - ceil(_rows * {options.test_share}) - ceil(_rows * {options.valid_share})
    THEN 1 ELSE 0 END AS _split
FROM (
  SELECT *, rank() OVER (PARTITION BY _user ORDER BY _time) - 1 AS _rank,
    count(*) OVER (PARTITION BY _user) AS _rows
  FROM targets
) AS ranked"""
    return [Step("split", split)]


def _negatives(plan, options):
    """The first N distinct items without events of the user, in a seeded sequence of draws.

    Or by options, without events of the user at the time of the row.

    Later rounds repeat and extend the draws for positives with too few negatives: the result is
    that of the longest round, most of which is not computed.
    """
    wanted = options.negatives_per_positive
    keys = ("_user", "_item") if excludes_log(plan, options) else ("_user", "_item", "_time")
    steps = [
        Step("touched", f"SELECT DISTINCT {', '.join(keys)} FROM events"),
        Step("pool", _pool(options)),
        Step("pool_sizes", _pool_sizes(options)),
        Step("short_0", "SELECT _user, _position, _split, _time FROM split"),
    ]
    for index, (times, plus) in enumerate(_ROUNDS):
        steps += [
            Step(f"draws_{index}", _draws(options, index, wanted * times + plus)),
            Step(f"found_{index}", _found(index, wanted, keys)),
        ]
        if index + 1 < len(_ROUNDS):
            short = f"""
SELECT short_{index}.* FROM short_{index} LEFT JOIN (
  SELECT _user, _position, count(*) AS n FROM found_{index} GROUP BY _user, _position
) AS done USING (_user, _position) WHERE coalesce(n, 0) < {wanted}"""
            steps.append(Step(f"short_{index + 1}", short))
    complete = [
        f"""SELECT * FROM found_{index} WHERE NOT EXISTS (
  SELECT 1 FROM short_{index + 1} AS short
  WHERE short._user = found_{index}._user AND short._position = found_{index}._position)"""
        for index in range(len(_ROUNDS) - 1)
    ]
    last = f"SELECT * FROM found_{len(_ROUNDS) - 1}"
    steps.append(Step("negatives", "\nUNION ALL\n".join([*complete, last])))
    return steps


def _pool(options):
    """Numbered items to draw from: those known by the end of the split."""
    if options.negatives == "popularity":  # the item of a random training interaction
        return """
SELECT _item, row_number() OVER (ORDER BY _user, _position) - 1 AS _number
FROM split WHERE _split = 0"""
    return """
SELECT _item, _first, row_number() OVER (ORDER BY _first, _item) - 1 AS _number
FROM (SELECT _item, min(_split) AS _first FROM split GROUP BY _item) AS first_seen"""


def _pool_sizes(options):
    if options.negatives == "popularity":
        sizes = [f"SELECT {split} AS _split, count(*) AS _size FROM pool" for split in range(3)]
    else:
        sizes = [
            f"SELECT {split} AS _split, count(*) AS _size FROM pool WHERE _first <= {split}"
            for split in range(3)
        ]
    return "\nUNION ALL\n".join(sizes)


def _draws(options, index, attempts):
    number = seeded_hash(options.seed, "negative", "_user", "_position", "_attempt")
    return f"""
SELECT _user, _position, _time, _attempt, {number} % _size AS _number
FROM short_{index} JOIN pool_sizes USING (_split)
CROSS JOIN (SELECT unnest(range({attempts})) AS _attempt) AS attempts WHERE _size > 0"""


def _found(index, wanted, keys):
    sources = {"_item": "pool"}
    same = " AND ".join(
        f"touched.{key} = {sources.get(key, f'draws_{index}')}.{key}" for key in keys
    )
    return f"""
SELECT _user, _position, _item FROM (
  SELECT _user, _position, _item,
    row_number() OVER (PARTITION BY _user, _position ORDER BY min(_attempt)) AS _place
  FROM draws_{index} JOIN pool USING (_number)
  WHERE NOT EXISTS (SELECT 1 FROM touched WHERE {same})
  GROUP BY _user, _position, _item
) AS untouched WHERE _place <= {wanted}"""


def _rows(plan):
    shared = ["_user", "_history", "_time", "_count", "_position", "_split"]
    shared += [quoted(name) for name in plan.context]
    positives = f"SELECT {', '.join(shared)}, _item, _label FROM split"
    if not plan.sampled:
        return positives
    columns = ", ".join(f"split.{name}" for name in shared)
    return f"""{positives}
UNION ALL
SELECT {columns}, negatives._item, 0 AS _label
FROM negatives JOIN split USING (_user, _position)"""


def _ordered(plan, options, split):
    """Rows of a split by time, or in seeded order without times."""
    shuffled = seeded_hash(options.seed, "order", "_user", "_position", "_item")
    order = f"_time, {shuffled}" if plan.ordered_by == "time" else shuffled
    return f"SELECT * FROM rows WHERE _split = {SPLITS.index(split)} ORDER BY {order}"
