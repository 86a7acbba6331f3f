"""MIND: impressions of news with click labels and the user's click history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmn_tf.data.preparers.column import Column
from lmn_tf.data.preparers.plan import Plan
from lmn_tf.data.preparers.sources import Sources

if TYPE_CHECKING:
    from lmn_tf.data.preparers.options import PrepareOptions


_BEHAVIORS = [
    Column("impression_id", "BIGINT"),
    Column("user_id"),
    Column(
        "time",
        "time",
        parse="CAST(epoch(try_strptime({}, '%m/%d/%Y %I:%M:%S %p')) AS BIGINT)",
    ),
    Column("history", required=False),
    Column("candidates", rule="regexp_matches(candidates, '^\\S+-[01]( +\\S+-[01])*$')"),
]
_NEWS = [Column("_item"), Column("category"), Column("subcategory")]


def read(sources: Sources, options: PrepareOptions) -> Plan:
    """Reads `behaviors.tsv` and `news.tsv`, in the folder itself or in folders inside it."""
    sources.text("behaviors", sources.find("behaviors.tsv", "*/behaviors.tsv"), _BEHAVIORS, "\t")
    sources.text("items", sources.find("news.tsv", "*/news.tsv"), _NEWS, "\t", width=8)
    _histories(sources.engine)
    _requests(sources.engine)
    return Plan(
        dataset="mind",
        user="user_id",
        item="news_id",
        label="click",
        time="time",
        ordered_by="time",
        sampled=False,
        requests=True,
        context=("impression", "hour"),
        history=("category", "subcategory"),
        item_columns=("category", "subcategory"),
        history_time=False,
        history_key="history_id",
        notes=(
            "Every candidate of an impression is a row; its history is the impression's own list "
            "of clicks, oldest first, as published.",
        ),
    )


def _histories(engine):
    """Each distinct list of clicks as the events of an artificial user, in order."""
    engine.table(
        "histories",
        """
SELECT user_id, coalesce(history, '') AS history,
  row_number() OVER (ORDER BY min(_seq)) - 1 AS _history
FROM behaviors GROUP BY user_id, coalesce(history, '')""",
    )
    engine.table(
        "numbered",
        """
SELECT _history AS _user, _item, _position, _position AS _time, _position AS _count FROM (
  SELECT _history, unnest(cells) AS _item, unnest(range(len(cells))) AS _position
  FROM (
    SELECT _history, regexp_split_to_array(history, ' +') AS cells
    FROM histories WHERE history <> ''
  ) AS split
) AS events""",
    )


def _requests(engine):
    """One row per candidate of an impression."""
    engine.table(
        "requests",
        """
SELECT user_id AS _user, _history, time AS _time, impression,
  time // 3600 % 24 AS hour, coalesce(clicks, 0) AS _count,
  regexp_extract(candidate, '^(.*)-([01])$', 1) AS _item,
  CAST(regexp_extract(candidate, '^(.*)-([01])$', 2) AS BIGINT) AS _label,
  row_number() OVER (ORDER BY impression, place) - 1 AS _seq
FROM (
  SELECT user_id, coalesce(history, '') AS history, time, impression,
    unnest(cells) AS candidate, unnest(range(len(cells))) AS place
  FROM (
    SELECT *, row_number() OVER (ORDER BY _seq) - 1 AS impression,
      regexp_split_to_array(candidates, ' +') AS cells
    FROM behaviors
  ) AS split
) AS exposures
JOIN histories USING (user_id, history)
LEFT JOIN (SELECT _user, count(*) AS clicks FROM numbered GROUP BY _user) AS lengths
  ON lengths._user = _history""",
    )
