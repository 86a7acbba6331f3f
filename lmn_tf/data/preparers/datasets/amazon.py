"""Amazon reviews: the 5-core review files with metadata, or one line per user of ordered items."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa

from lmn_tf.data.preparers.column import Column
from lmn_tf.data.preparers.plan import Plan
from lmn_tf.data.preparers.sources import Sources
from lmn_tf.data.preparers.tables import infer_types
from lmn_tf.data.preparers.text_files import json_batches, open_bytes
from lmn_tf.specs.errors import UserError

if TYPE_CHECKING:
    from lmn_tf.data.preparers.options import PrepareOptions


def read(sources: Sources, options: PrepareOptions) -> Plan:
    """Reads reviews if the folder has them, otherwise the sequences."""
    reviews = [
        path
        for path in sources.find("*reviews*.json", "*_5.json", required=False)
        if not path.name.startswith("meta")
    ]
    return _reviews(sources, reviews) if reviews else _sequences(sources)


def _reviews(sources, files):
    columns = [
        Column("_user", source="reviewerID"),
        Column("_item", source="asin"),
        Column("overall", "DOUBLE", rule="overall BETWEEN 1 AND 5"),
        Column("_time", "BIGINT", source="unixReviewTime", rule="_time >= 0"),
    ]
    sources.json_lines("reviews", files, columns)
    sources.engine.table("events", "SELECT *, 1 AS _label FROM reviews")
    metadata = sources.find("meta*.json", required=False)
    attributes = ()
    if metadata:
        attributes = ("category", "brand", "price")
        columns = [
            Column("_item", source="asin"),
            Column("category", source="$.categories[#-1][#-1]", required=False),
            Column("brand", required=False),
            Column("price", "DOUBLE", required=False),
        ]
        sources.json_lines("items", metadata, columns, batches=json_batches)
    return Plan(
        dataset="amazon_reviews",
        user="user_id",
        item="item_id",
        label="review",
        time="time",
        ordered_by="time",
        sampled=True,
        history=("overall", *attributes),
        item_columns=attributes,
        notes=("Every review is a positive; stars are seen in histories only.",),
    )


def _sequences(sources):
    engine = sources.engine
    files = sources.find("*.txt")
    if len(files) > 1:
        raise UserError(
            "`input` must hold the sequences of one category. "
            f"Received: {', '.join(path.name for path in files)}"
        )
    whole = Column("line", rule="regexp_matches(trim(line), '^\\S+( +\\S+)+$')")
    sources.text("sequences", files, [whole], "\n")
    engine.table(
        "events",
        """
SELECT _user, _item, _time, 1 AS _label, _seq FROM (
  SELECT _seq, cells[1] AS _user, unnest(cells[2:]) AS _item, unnest(range(len(cells) - 1)) AS _time
  FROM (SELECT _seq, regexp_split_to_array(trim(line), ' +') AS cells FROM sequences) AS lines
) AS events""",
    )
    infer_types(engine, "events", ("_user", "_item"), ids=("_user", "_item"))
    attributes = sources.find("*item2attributes.json", required=False)
    if attributes:
        sources.batches("items", attributes[0], _attributes(attributes[0]))
        infer_types(engine, "items", ("_item",), ids=("_item",))
        _same_type(engine)
    return Plan(
        dataset="amazon_beauty",
        user="user_id",
        item="item_id",
        label="review",
        time="position",
        ordered_by="position",
        sampled=True,
        history=("attributes",) if attributes else (),
        item_columns=("attributes",) if attributes else (),
        notes=("Every review is a positive.",),
    )


def _attributes(path):
    """Record batches of one JSON object `{item: [attribute, ...]}`."""
    with open_bytes(path) as file:
        try:
            table = json.load(file)
        except ValueError as error:
            message = f"the file must be one JSON object. Received: {error}"
            raise UserError(message, file=path) from error
    if not isinstance(table, dict) or not table:
        raise UserError("the file must be one JSON object of items and their attributes", path)
    arrays = [pa.array(range(len(table))), pa.array(table.keys()), pa.array(table.values())]
    yield pa.RecordBatch.from_arrays(arrays, names=["_seq", "_item", "attributes"])


def _same_type(engine):
    """Converts ids to text if only one of the two files has integers only."""
    kinds = {
        table: dict((row[0], row[1]) for row in engine.rows(f"DESCRIBE {table}"))["_item"]
        for table in ("events", "items")
    }
    if len(set(kinds.values())) > 1:
        for table in kinds:
            engine.connection.execute(f"ALTER TABLE {table} ALTER _item TYPE VARCHAR")
