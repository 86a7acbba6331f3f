"""Taobao UserBehavior: views, favorites, carts and purchases in one CSV without a header."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lmn_tf.data.preparers.column import Column
from lmn_tf.data.preparers.plan import Plan, text
from lmn_tf.data.preparers.sources import Sources
from lmn_tf.data.preparers.tables import first_of_item, merge_repeats
from lmn_tf.specs.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from lmn_tf.data.preparers.options import PrepareOptions

BEHAVIORS = ("pv", "fav", "cart", "buy")

_FIRST, _LAST = 1_511_539_200, 1_512_316_800  # 2017-11-25 to 2017-12-04 in Beijing


def read(
    sources: Sources,
    options: PrepareOptions,
    positive_behaviors: Sequence[str] = ("pv",),
) -> Plan:
    """Reads `UserBehavior.csv`."""
    for behavior in positive_behaviors:
        if behavior not in BEHAVIORS:
            raise UserError(
                f"`positive_behaviors` must be of {BEHAVIORS}. Received: {behavior!r}."
                f"{did_you_mean(behavior, BEHAVIORS)}"
            )
    columns = [
        Column("_user", "BIGINT"),
        Column("_item", "BIGINT"),
        Column("category_id", "BIGINT"),
        Column("behavior", rule=f"behavior IN {BEHAVIORS}"),
        Column("_time", "BIGINT"),
    ]
    sources.text("log", sources.find("UserBehavior*.csv", "*.csv"), columns, ",")
    outside = f"_time < {_FIRST} OR _time >= {_LAST}"
    sources.delete("log", outside, "events outside 2017-11-25 to 2017-12-03, Beijing time")
    chosen = ", ".join(text(behavior) for behavior in positive_behaviors)
    sources.engine.table(
        "events",
        f"""
SELECT *, CASE WHEN behavior IN ({chosen}) THEN 1 END AS _label,
  (_time // 3600 + 8) % 24 AS hour
FROM log""",
    )
    merge_repeats(sources)
    first_of_item(sources.engine, ("category_id",))
    return Plan(
        dataset="taobao_userbehavior",
        user="user_id",
        item="item_id",
        label="click",
        time="time",
        ordered_by="time",
        sampled=True,
        repeats=True,
        context=("hour",),
        history=("category_id", "behavior"),
        item_columns=("category_id",),
        notes=(
            f"Positives: {', '.join(positive_behaviors)}; all behaviors are seen in histories.",
            "`hour` is Beijing time.",
        ),
    )
