import datetime
import random
from collections import Counter

SPLITS = ("train", "valid", "test")


def write(folder, seed=0):
    """Writes impressions; half of the users keep one history, others get longer ones."""
    draw = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    news = [f'N{n}\tkind{n % 3}\tsub{n % 5}\tA "title"\tText\thttps://x\t[]\t[]' for n in range(40)]
    (folder / "news.tsv").write_text("\n".join(news) + "\n")
    lines = []
    for impression in range(60):
        user = draw.randrange(8)
        clicks = random.Random(user if user < 4 else impression).sample(range(40), user)
        moment = datetime.datetime(2019, 11, 11) + datetime.timedelta(minutes=37 * impression)
        shown = [f"N{n}-{draw.randint(0, 1)}" for n in draw.sample(range(45), draw.randint(1, 6))]
        text = f"{moment.month}/{moment.day}/{moment.year} {moment.strftime('%I:%M:%S %p')}"
        history = " ".join(f"N{n}" for n in clicks)
        lines.append(f"{impression}\tU{user}\t{text}\t{history}\t{' '.join(shown)}")
    (folder / "behaviors.tsv").write_text("\n".join(lines) + "\n")
    return folder


def check(twin, folder, source, every=1):
    """Each candidate is a row once, and its history is its impression's list, word for word."""
    categories = {}
    with twin.open_text(source / "news.tsv") as file:
        for line in file:
            name, category, subcategory, *_ = line.split("\t")
            categories[name] = (category, subcategory)
    histories = {}
    for event in twin.events(folder):
        assert (event["category"], event["subcategory"]) == categories.get(
            event["news_id"], (None, None)
        )
        histories.setdefault(event["history_id"], []).append(event["news_id"])
    expected, clicked = Counter(), {}
    with twin.open_text(source / "behaviors.tsv") as file:
        for number, line in enumerate(file):
            _, user, moment, history, shown = line.rstrip("\n").split("\t")
            moment = datetime.datetime.strptime(moment, "%m/%d/%Y %I:%M:%S %p")
            time = int(moment.replace(tzinfo=datetime.UTC).timestamp())
            clicked[number] = history.split()
            for candidate in shown.split():
                item, _, label = candidate.rpartition("-")
                expected[number, user, time, item, int(label)] += 1
    rows = {split: twin.rows(folder, split) for split in SPLITS}
    names = ("impression", "user_id", "time", "news_id", "click")
    found = Counter(tuple(row[name] for name in names) for split in SPLITS for row in rows[split])
    assert found == expected
    for split in SPLITS:
        for row in rows[split][::every]:
            history = histories.get(row["history_id"], [])
            assert len(history) == row["history_count"]
            assert history == clicked[row["impression"]]
            assert (row["category"], row["subcategory"]) == categories.get(
                row["news_id"], (None, None)
            )
    return rows


def check_split(rows):
    """No impression of a split comes before one of the split before, and none is torn."""
    moments = [[row["time"] for row in rows[split]] for split in SPLITS]
    assert max(moments[0]) < min(moments[1]) and max(moments[1]) < min(moments[2])
    total = sum(map(len, moments))
    assert 0.8 <= len(moments[0]) / total < 0.9 and len(moments[2]) <= 0.1 * total


def test_history_is_the_impressions_own(tmp_path, slow_twin, prepared):
    source = write(tmp_path / "mind")
    check_split(check(slow_twin, prepared("mind", source), source))


def test_two_folders_of_impressions(tmp_path, slow_twin, prepared):
    source = tmp_path / "mind"
    write(source / "dev", seed=1)
    write(source / "train", seed=2)
    folder = prepared("mind", source)
    impressions = {row["impression"] for s in SPLITS for row in slow_twin.rows(folder, s)}
    assert impressions == set(range(120))


def test_history_inline(tmp_path, slow_twin, prepared):
    source = write(tmp_path / "mind")
    folder = prepared("mind", source, history="inline", max_history=3)
    with slow_twin.open_text(source / "behaviors.tsv") as file:
        clicked = [line.split("\t")[3].split() for line in file]
    for split in SPLITS:
        for row in slow_twin.rows(folder, split):
            assert row["history_news_id"] == clicked[row["impression"]][-3:]
            assert len(row["history_category"]) == len(row["history_news_id"])


def test_min_history_drops_and_counts(tmp_path, slow_twin, prepared):
    import json

    folder = prepared("mind", write(tmp_path / "mind"), min_history=2)
    rows = [row for split in SPLITS for row in slow_twin.rows(folder, split)]
    assert min(row["history_count"] for row in rows) == 2
    report = json.loads((folder / "report.json").read_text())
    dropped = report["dropped"]["rows with fewer than min_history earlier events"]
    assert dropped > 0


def test_real_history_is_the_impressions_own(data_dir, slow_twin, prepared):
    source = data_dir / "mind-sample"
    check_split(check(slow_twin, prepared("mind", source), source, every=101))
