import gzip
import json
import random

import pytest

from lmn_tf.data.preparers import prepare
from lmn_tf.specs.errors import UserError

NAMES = {"user": "user_id", "item": "item_id", "label": "review", "sampled": True}


def write_sequences(folder):
    """Writes one line a user of items in order, and the items' attributes."""
    draw = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for user in range(1, 21):
        items = draw.sample(range(1, 41), draw.choice([1, 2, 3, 5, 12]))
        lines.append(" ".join(map(str, [user, *items])))
    (folder / "Toys.txt").write_text("\n".join(lines) + "\n")
    attributes = {str(item): [item % 7, item % 3] for item in range(1, 41)}
    (folder / "Toys_item2attributes.json").write_text(json.dumps(attributes))
    return folder


def read_sequences(twin, folder, name, attributes):
    with twin.open_text(folder / attributes) as file:
        described = {int(item): tuple(found) for item, found in json.load(file).items()}
    events = []
    with twin.open_text(folder / name) as file:
        for line in file:
            user, *items = map(int, line.split())
            events += [
                twin.Event(user, item, place, 1, (described.get(item),))
                for place, item in enumerate(items)
            ]
    return events


def write_reviews(folder, python_lines=True):
    """Writes gzip reviews, and metadata as the publisher does: Python dictionaries."""
    draw = random.Random(2)
    folder.mkdir(parents=True, exist_ok=True)
    reviews = [
        {
            "reviewerID": f"A{user}",
            "asin": f"B{item:03}",
            "overall": float(draw.randint(1, 5)),
            "reviewText": 'she said "::" and left',
            "unixReviewTime": 1_300_000_000 + 86_400 * draw.randrange(30),
        }
        for user in range(15)
        for item in draw.sample(range(30), draw.choice([1, 5, 9]))
    ]
    with gzip.open(folder / "reviews_Toys_5.json.gz", "wt") as file:
        file.writelines(json.dumps(review) + "\n" for review in reviews)
    metadata = [
        {
            "asin": f"B{item:03}",
            "title": 'Kid\'s "toy"',
            "price": 1.5 * item,
            "categories": [["Toys", "Games"], ["Toys", f"Kind {item % 4}"]],
        }
        for item in range(30)
    ]
    write = repr if python_lines else json.dumps
    with gzip.open(folder / "meta_Toys.json.gz", "wt") as file:
        file.writelines(write(row) + "\n" for row in metadata)
    return folder


def read_reviews(twin, folder):
    events = []
    with twin.open_text(folder / "reviews_Toys_5.json") as file:
        for line in file:
            review = json.loads(line)
            user, item = review["reviewerID"], review["asin"]
            seen = (review["overall"], f"Kind {int(item[1:]) % 4}")
            events.append(twin.Event(user, item, review["unixReviewTime"], 1, seen))
    return events


def test_sequences_rows_know_only_strictly_earlier_items(tmp_path, slow_twin, prepared):
    source = write_sequences(tmp_path / "toys")
    folder = prepared("amazon", source, negatives_per_positive=3)
    log = read_sequences(slow_twin, source, "Toys.txt", "Toys_item2attributes.json")
    slow = slow_twin.Twin(folder, log, time="position", seen=("attributes",), **NAMES)
    slow.check(split_by="position", negatives=3)


@pytest.mark.parametrize("python_lines", [True, False])
def test_reviews_rows_know_only_strictly_earlier_reviews(
    tmp_path, slow_twin, prepared, python_lines
):
    source = write_reviews(tmp_path / "toys", python_lines)
    folder = prepared("amazon", source, negatives_per_positive=2)
    log = read_reviews(slow_twin, source)
    slow = slow_twin.Twin(folder, log, time="time", seen=("overall", "category"), **NAMES)
    slow.check(split_by="time", negatives=2)
    row = slow_twin.rows(folder, "train")[0]
    assert row["category"] == f"Kind {int(row['item_id'][1:]) % 4}"
    assert row["price"] == 1.5 * int(row["item_id"][1:])
    assert "overall" not in row


def test_negatives_of_a_request_differ(tmp_path, slow_twin, prepared):
    folder = prepared("amazon", write_sequences(tmp_path / "toys"), negatives_per_positive=8)
    items = {}
    for split in ("train", "valid", "test"):
        for row in slow_twin.rows(folder, split):
            items.setdefault((row["user_id"], row["position"]), []).append(row["item_id"])
    assert all(len(set(found)) == len(found) == 9 for found in items.values())


def test_two_categories_at_once(tmp_path):
    source = write_sequences(tmp_path / "toys")
    (source / "Beauty.txt").write_text("1 2 3\n")
    with pytest.raises(UserError, match="`input` must hold the sequences of one category"):
        prepare("amazon", source, tmp_path / "out")


@pytest.mark.parametrize("text", ["[1, 2]", "{}", "{1: 2"])
def test_attributes_must_be_an_object(tmp_path, text):
    source = write_sequences(tmp_path / "toys")
    (source / "Toys_item2attributes.json").write_text(text)
    with pytest.raises(UserError, match="item2attributes.json: the file must be one JSON object"):
        prepare("amazon", source, tmp_path / "out")


@pytest.mark.slow
def test_real_beauty_rows_know_only_strictly_earlier_items(data_dir, slow_twin, prepared):
    source = data_dir / "amazon-beauty"
    folder = prepared("amazon", source)
    log = read_sequences(slow_twin, source, "Beauty.txt", "Beauty_item2attributes.json")
    slow = slow_twin.Twin(folder, log, time="position", seen=("attributes",), **NAMES)
    slow.check(split_by="position", every=101)
