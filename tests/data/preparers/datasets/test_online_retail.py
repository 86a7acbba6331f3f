import csv
import datetime
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

NAMES = {"user": "customer_id", "item": "stock_code", "label": "buy", "time": "time"}
HEADER = ["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price"]
HEADER += ["Customer ID", "Country"]
START = datetime.datetime(2010, 12, 1, 8, 0)


def lines(seed=0):
    """Lines of invoices, and some that no preparer should take: returns, postage, no customer."""
    draw = random.Random(seed)
    rows = []
    for invoice in range(536_000, 536_080):
        customer = draw.choice([13_085, 17_850, 12_583, 14_911, 15_311])
        moment = START + datetime.timedelta(minutes=draw.randrange(60))
        for place in range(draw.choice([1, 2, 6])):
            code = f"{draw.randrange(10_000, 10_040)}{draw.choice(['', 'A'])}"
            late = moment + datetime.timedelta(minutes=place == 5)
            price = draw.randint(1, 9) / 4
            row = [str(invoice), code, 'BOX, "RED"', draw.randint(1, 9), late, price, customer]
            rows.append([*row, draw.choice(["United Kingdom", "France"])])
    rows.append(["C536999", "10001", "BOX", -2, START, 1.0, 13_085, "France"])
    rows.append(["536998", "POST", "POSTAGE", 1, START, 18.0, 13_085, "France"])
    rows.append(["536997", "10001", "BOX", 1, START, 1.0, None, "France"])
    rows.append(["536996", "10001", "BOX", 1, START, 0.0, 13_085, "France"])
    return rows


def write_csv(folder, rows, name="online_retail.csv"):
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for row in rows:
            date = f"{row[4].month}/{row[4].day}/{row[4]:%y %H:%M}"
            writer.writerow([*row[:4], date, row[5], "" if row[6] is None else row[6], row[7]])
    return folder


def write_parquet(folder, rows, name="retail.parquet"):
    folder.mkdir(parents=True, exist_ok=True)
    columns = [list(column) for column in zip(*rows, strict=True)]
    columns[4] = [str(moment) for moment in columns[4]]
    columns[6] = [None if value is None else float(value) for value in columns[6]]
    pq.write_table(pa.table(columns, names=HEADER), folder / name)
    return folder


def read_log(twin, rows):
    """What customers bought, in plain Python; histories show the summed quantity."""
    started, bought = {}, {}
    for invoice, _, _, _, moment, *_ in rows:
        started[invoice] = min(started.get(invoice, moment), moment)
    for invoice, code, _, quantity, _, price, customer, _ in rows:
        product = code[:5].isdigit()
        if customer is None or invoice[0] == "C" or quantity <= 0 or price <= 0 or not product:
            continue
        moment = started[invoice].replace(tzinfo=datetime.UTC).timestamp()
        key = (int(customer), code.upper(), int(moment), invoice)
        bought[key] = bought.get(key, 0) + quantity
    return [
        twin.Event(user, item, moment, 1, (quantity,))
        for (user, item, moment, _), quantity in bought.items()
    ]


def check(twin, prepared, source, rows, every=1, **options):
    folder = prepared("online-retail", source, **options)
    log = read_log(twin, rows)
    slow = twin.Twin(folder, log, seen=("quantity",), sampled=True, repeats=True, **NAMES)
    slow.check(split_by="time", every=every, negatives=options.get("negatives_per_positive", 1))
    return folder


def test_products_of_one_invoice_do_not_see_each_other(tmp_path, slow_twin, prepared):
    source = write_csv(tmp_path / "retail", lines())
    folder = check(slow_twin, prepared, source, lines(), negatives_per_positive=2)
    for row in slow_twin.rows(folder, "train"):
        moment = datetime.datetime.fromtimestamp(row["time"], datetime.UTC)
        assert (row["hour"], row["weekday"]) == (moment.hour, moment.weekday())


def test_parquet_with_popular_negatives(tmp_path, slow_twin, prepared):
    source = write_parquet(tmp_path / "retail", lines())
    check(slow_twin, prepared, source, lines(), negatives="popularity")


def test_an_invoice_in_two_files_counts_once(tmp_path, slow_twin, prepared):
    rows = lines()
    source = write_parquet(tmp_path / "retail", rows[:200], "a.parquet")
    invoice = rows[199][0]
    later = [row for row in rows if row[0] >= invoice or not row[0].isdigit()]
    write_parquet(source, later, "b.parquet")
    once = rows[:200] + [row for row in later if row[0] != invoice]
    check(slow_twin, prepared, source, once)


def test_price_is_that_of_the_first_sale(tmp_path, slow_twin, prepared):
    folder = prepared("online-retail", write_csv(tmp_path / "retail", lines()))
    prices = {}
    for split in ("train", "valid", "test"):
        for row in slow_twin.rows(folder, split):
            prices.setdefault(row["stock_code"], set()).add(row["price"])
    assert all(len(found) == 1 for found in prices.values())


@pytest.mark.slow
def test_real_rows_know_only_strictly_earlier_invoices(data_dir, slow_twin, prepared):
    source = data_dir / "online-retail-ii"
    folder = prepared("online-retail", source)
    rows, invoices = [], set()
    for path in sorted(source.glob("*.parquet")):
        table = pq.read_table(path)
        fresh = [row for row in zip(*table.to_pydict().values(), strict=True)]
        fresh = [row for row in fresh if row[0] not in invoices]
        invoices |= {row[0] for row in fresh}
        rows += [(*row[:4], read_date(row[4]), *row[5:]) for row in fresh]
    slow = slow_twin.Twin(
        folder, read_log(slow_twin, rows), seen=("quantity",), sampled=True, repeats=True, **NAMES
    )
    slow.check(split_by="time", every=997)


def read_date(text):
    if "/" in text:
        return datetime.datetime.strptime(text, "%m/%d/%y %H:%M")
    return datetime.datetime.fromisoformat(text)
