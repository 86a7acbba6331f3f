"""UCI Online Retail and Online Retail II: invoices of a gift shop, as Parquet or CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmn_tf.data.preparers.column import Column
from lmn_tf.data.preparers.plan import Plan
from lmn_tf.data.preparers.sources import Sources
from lmn_tf.data.preparers.tables import first_of_item

if TYPE_CHECKING:
    from lmn_tf.data.preparers.options import PrepareOptions

_FORMATS = "['%Y-%m-%d %H:%M:%S', '%Y-%m-%d %H:%M', '%m/%d/%y %H:%M', '%m/%d/%Y %H:%M']"
_COLUMNS = [
    Column("invoice", source=("Invoice", "InvoiceNo")),
    Column("stock_code", source="StockCode"),
    Column("quantity", "BIGINT", source="Quantity"),
    Column(
        "invoice_time",
        "time",
        source="InvoiceDate",
        parse=f"CAST(epoch(try_strptime(CAST({{}} AS VARCHAR), {_FORMATS})) AS BIGINT)",
    ),
    Column("price", "DOUBLE", source=("Price", "UnitPrice")),
    Column(
        "customer_id",
        "customer",
        source=("Customer ID", "CustomerID"),
        required=False,
        parse="TRY_CAST(TRY_CAST({} AS DOUBLE) AS BIGINT)",
    ),
    Column("country", source="Country"),
]
_LEFT_OUT = (
    (
        "_seq // 1099511627776 > "
        "(SELECT _file FROM invoices WHERE invoices._invoice = lines.invoice)",
        "lines of an invoice that an earlier file has",
    ),
    ("customer_id IS NULL", "lines without a customer"),
    ("invoice LIKE 'C%' OR quantity <= 0", "returns and cancellations"),
    ("NOT regexp_matches(stock_code, '^[0-9]{5}')", "lines that are no product (postage, ...)"),
    ("price <= 0", "lines without a price"),
)


def read(sources: Sources, options: PrepareOptions) -> Plan:
    """Reads every sheet of the folder; an invoice in two sheets is read once."""
    files = sources.find("*.parquet", required=False)
    if files:
        sources.parquet("lines", files, _COLUMNS)
    else:
        sources.csv("lines", sources.find("*.csv", "*.parquet"), _COLUMNS)
    engine = sources.engine
    engine.table(
        "invoices",
        """
SELECT invoice AS _invoice, min(_seq // 1099511627776) AS _file, min(invoice_time) AS _time
FROM lines GROUP BY invoice""",
    )
    for condition, reason in _LEFT_OUT:
        sources.delete("lines", condition, reason)
    engine.table(
        "events",
        """
SELECT customer_id AS _user, upper(stock_code) AS _item, _time, 1 AS _label, min(_seq) AS _seq,
  CAST(sum(quantity) AS BIGINT) AS quantity, arg_min(price, _seq) AS paid,
  min(country) AS country, _time // 3600 % 24 AS hour, (_time // 86400 + 3) % 7 AS weekday
FROM lines JOIN invoices ON invoices._invoice = lines.invoice
GROUP BY customer_id, invoice, upper(stock_code), _time""",
    )
    merged = engine.value("SELECT (SELECT count(*) FROM lines) - (SELECT count(*) FROM events)")
    sources.drop("lines merged with another of the same invoice and product", merged)
    first_of_item(engine, ("paid",))
    engine.table("items", "SELECT _item, paid AS price, _seq FROM items")
    return Plan(
        dataset="online_retail",
        user="customer_id",
        item="stock_code",
        label="buy",
        time="time",
        ordered_by="time",
        sampled=True,
        repeats=True,
        context=("country", "hour", "weekday"),
        history=("quantity", "price"),
        item_columns=("price",),
        notes=(
            "Every product of an invoice is a positive; products of one invoice, or of two in the "
            "same minute, do not see each other.",
            "`price` is the price of the product's first sale, as a catalog would list it.",
            "An invoice whose lines span minutes is dated by its first line.",
        ),
    )
