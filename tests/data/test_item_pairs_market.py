"""The market of item pairs: what is planted is in the files, and no table of pairs is stored."""

import math
import statistics

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmn_tf.data import item_pairs_market
from lmn_tf.data.item_pairs_market import ItemPairsMarket
from lmn_tf.data.synthetic import ceiling_text, generate
from lmn_tf.data.synthetic_market import seconds_at
from lmn_tf.specs.errors import UserError

SMALL = dict(users=12, items=15, rows=600, history_length=6, seed=3)
CAUSES = ("quality", "habit", "taste", "pairs")


def drawn(**options):
    """The whole market as one dict of arrays."""
    chunks = list(ItemPairsMarket(**options).chunks())
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def splitmix64(number):
    """The hash of Steele, Lea and Flood, on integers of Python."""
    number = (number + 0x9E3779B97F4A7C15) % 2**64
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB % 2**64
    return number ^ (number >> 31)


def pair_value(item, liked, candidate):
    """The value of a pair of the market `SMALL`, normal with a variance of 1 and not centered."""
    pair = (2 * item + liked) * SMALL["items"] + candidate
    level = splitmix64((pair + splitmix64(SMALL["seed"])) % 2**64) >> 52
    return statistics.NormalDist().inv_cdf((level + 0.5) / 4096)


def mean_value(candidate):
    """The mean of the values of a candidate of the market `SMALL` over the views of all items."""
    shares = [1 / (item + 1) ** 0.7 for item in range(SMALL["items"])]
    both = [pair_value(item, 0, candidate) + pair_value(item, 1, candidate) for item in range(15)]
    return sum(share * value / 2 for share, value in zip(shares, both, strict=True)) / sum(shares)


def test_the_logit_equals_a_slow_twin_from_the_files(tmp_path):
    generate(tmp_path, kind="item_pairs", history="events", **SMALL)
    events = pa.ipc.open_file(str(tmp_path / "events.arrow")).read_all().to_pylist()
    market = ItemPairsMarket(**SMALL)
    (chunk,) = market.chunks()
    logits = {
        (user, count): row
        for row, (user, count) in enumerate(zip(chunk["user"], chunk["count"], strict=True))
    }
    for row in pq.read_table(tmp_path / "test-00000.parquet").to_pylist():
        mine = [event for event in events if event["user_id"] == row["user_id"]]
        now = mine[row["event_count"]]
        assert (now["history_item_id"], now["history_time"]) == (row["item_id"], row["time"])
        assert now["history_liked"] == row["click"]
        total = 0.0
        for event in mine[: row["event_count"]][-6:]:
            total += pair_value(event["history_item_id"], event["history_liked"], row["item_id"])
            total -= mean_value(row["item_id"])
        place = logits[row["user_id"], row["event_count"]]
        want = 1.2 * total / math.sqrt(6)
        assert chunk["pairs"][place] == pytest.approx(want, abs=0.005)
        others = sum(chunk[name][place] for name in CAUSES[:3])
        assert chunk["logit"][place] == pytest.approx(others + want, abs=0.005)


def test_other_causes_equal_a_slow_twin():
    market = ItemPairsMarket(**SMALL, drift=20.0)
    (chunk,) = market.chunks()
    truth = item_pairs_market._Truth(market)
    rng = np.random.default_rng([3, 1, 0])
    rng.multinomial(600, (activity := rng.gamma(2.0, size=12)) / activity.sum())
    habit, (begin, turned) = rng.normal(size=12), rng.normal(size=(2, 12, 4))
    for row in range(0, 600, 7):
        user, item = chunk["user"][row], chunk["item"][row]
        angle = 20.0 * chunk["count"][row] / 100
        factors = math.cos(angle) * begin[user] + math.sin(angle) * turned[user]
        taste = sum(factors * truth.item_factors[item]) / math.sqrt(4)
        assert chunk["taste"][row] == pytest.approx(taste)
        assert chunk["habit"][row] == pytest.approx(0.5 * habit[user])
        assert chunk["quality"][row] == pytest.approx(0.5 * truth.quality[item])


def test_the_same_arguments_write_the_same_files(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        generate(tmp_path / name, kind="item_pairs", history="events", **{**SMALL, "seed": seed})
    names = [path.name for path in (tmp_path / "a").iterdir()]
    assert "events.arrow" in names and len(names) == 7
    for name in names:
        same = (tmp_path / "a" / name).read_bytes()
        assert same == (tmp_path / "b" / name).read_bytes()
        assert same != (tmp_path / "c" / name).read_bytes()


def test_ceilings_rise_with_what_a_model_knows(tmp_path):
    generate(tmp_path, kind="item_pairs", rows=40_000, users=400, items=200)
    text = ceiling_text(tmp_path).splitlines()
    truth, low_rank, rates = (float(line.split("AUC ")[1].split(",")[0]) for line in text)
    assert text[1].startswith("Ceiling of a model blind to the pair effects: AUC ")
    assert text[2].startswith("Ceiling of a model blind to tastes and the pair effects: AUC ")
    assert 0.55 < rates < low_rank - 0.02 and low_rank < truth - 0.05


def test_causes_have_the_variances_of_their_strengths():
    market = drawn(rows=100_000, users=4000, items=2000, habit=0.25)
    full = market["count"] >= 50
    for name, strength in zip(CAUSES, (0.5, 0.25, 1.0, 1.2), strict=True):
        assert market[name][full].std() == pytest.approx(strength, rel=0.1)
        assert abs(market[name][full].mean()) < 0.1
    probability = 1 / (1 + np.exp(-market["logit"]))
    for rows in np.array_split(np.argsort(market["logit"]), 8):
        error = market["click"][rows].mean() - probability[rows].mean()
        assert abs(error) < 4 * 0.5 / math.sqrt(len(rows))


def test_tastes_turn_slowly():
    still, slow = (drawn(**SMALL, drift=drift)["taste"] for drift in (0.0, 0.5))
    fast = drawn(**SMALL, drift=300.0)["taste"]
    assert np.corrcoef(still, slow)[0, 1] > 0.9 and abs(np.corrcoef(still, fast)[0, 1]) < 0.3


def test_few_items_are_viewed_often_and_cold_ones_only_late():
    options = dict(rows=60_000, users=600, items=100, cold=0.3)
    market = drawn(**options, popularity=1.0)
    first = np.full(100, np.inf)
    np.minimum.at(first, market["item"], market["time"])
    begin, end = seconds_at(np.array([0.0, 1.0]))
    share = (first - begin) / (end - begin)
    assert (share < 0.02).sum() >= 70 and 20 <= (share > 0.02).sum() <= 30
    arrival = item_pairs_market._Truth(ItemPairsMarket(**options)).arrival
    assert (arrival > 0).sum() == 30 and (first >= arrival).all()
    counts = np.bincount(market["item"])
    early = np.flatnonzero(arrival == 0)  # all of them are there all the time
    ratio = counts[early[0]] / counts[early[-1]]
    assert ratio == pytest.approx((early[-1] + 1) / (early[0] + 1), rel=0.3)
    even = np.bincount(drawn(**{**options, "cold": 0}, popularity=0.0)["item"])
    assert even.max() < 1.3 * even.min()


def test_chunks_bound_memory_and_keep_every_row(monkeypatch):
    monkeypatch.setattr(item_pairs_market, "_CELLS", 150)
    chunks = list(ItemPairsMarket(**SMALL).chunks())
    assert len(chunks) == 4 and sum(len(chunk["click"]) for chunk in chunks) == 600
    users = np.concatenate([chunk["event_user"] for chunk in chunks])
    assert (np.diff(users) >= 0).all() and users.max() < 12


def test_inline_histories_have_outcomes(tmp_path):
    generate(tmp_path, kind="item_pairs", **SMALL)
    (chunk,) = ItemPairsMarket(**SMALL).chunks()
    event_of = {
        key: event for event, key in enumerate(zip(chunk["user"], chunk["time"], strict=True))
    }
    for row in pq.read_table(tmp_path / "train-00000.parquet").to_pylist():
        event = event_of[row["user_id"], row["time"]]
        newest = slice(event - min(chunk["count"][event], 6), event)
        assert row["history_item_id"] == chunk["event_item"][newest].tolist()
        assert row["history_liked"] == chunk["event_liked"][newest].tolist()


def test_a_memory_of_pairs_finds_the_signs_of_pairs_that_occur_often(tmp_path, root):
    from pair_pooling import PairPooling

    from lmn_tf import FeatureSpec, make_dataset

    options = dict(rows=25_000, users=250, items=30, history_length=10, cold=0, pairs=3.0)
    generate(tmp_path, kind="item_pairs", history="events", **options)
    document = FeatureSpec.load(root / "feature_specs" / "item_pairs.yaml").to_dict()
    document["features"] = [
        {"name": "item_id", "role": "item", "kind": "categorical", "lookup": {"identity": 30}}
    ]
    document["tables"] = {"rated_item": {"dim": 4}}
    document["sequences"][0]["max_length"] = 10
    spec = FeatureSpec.from_dict({**document, "embedding_dim": 4})
    model = PairPooling(spec, hidden_units=(4,), batch_norm=False)
    model.compile()
    train = make_dataset(spec, f"{tmp_path}/train-*.parquet", 1024, shuffle=True, seed=1)
    model.fit(train, epochs=2, verbose=0)

    item, liked, candidate = np.indices((30, 2, 30))
    rows = np.ravel_multi_index((item + 2, liked + 2), model.cross_of("history").sizes)
    memory = model.pair_memories["history"]
    learned = memory.memory_values.numpy()[memory.slots(rows, candidate + 2), 0]
    truth = item_pairs_market._Truth(ItemPairsMarket(**options))
    true = truth.pair_values(2 * item + liked, candidate)
    clear = (item < 15) & (candidate < 15) & (abs(true) > 1)  # hundreds of rows have each of them
    assert clear.sum() > 100 and (np.sign(learned) == np.sign(true))[clear].mean() > 0.9


@pytest.mark.parametrize("options", [{"items": 1}, {"users": 1}, {"rows": 1}, {"cold": 0.99}])
def test_the_smallest_markets(options):
    market = drawn(**{"users": 3, "items": 5, "rows": 9, **options})
    assert np.isfinite(market["logit"]).all() and len(market["logit"]) == options.get("rows", 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 0}, "`rows` must be a positive integer. Received: rows=0"),
        ({"factors": 1.5}, "`factors` must be a positive integer. Received: factors=1.5"),
        ({"seed": -1}, "`seed` must be an integer, 0 or more. Received: seed=-1"),
        ({"pairs": "much"}, "`pairs` must be a number. Received: pairs='much'"),
        ({"popularity": -0.5}, "`popularity` must be 0 or more. Received: popularity=-0.5"),
        ({"cold": 1.0}, "`cold` must be at least 0 and below 1. Received: cold=1.0"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        ItemPairsMarket(**options)
