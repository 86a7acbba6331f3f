import json

from lmn_tf.data.preparers import PrepareOptions
from lmn_tf.data.preparers.plan import Plan, plan_steps

NAMED = {"user": "user_id", "item": "item_id", "time": "time", "category": ("category",)}
PLAN = Plan("tiny", "user", "item", "label", "time", "time", sampled=True)


def test_steps_are_named_once_and_build_on_earlier_ones():
    names = [step.name for step in plan_steps(PLAN, PrepareOptions())]
    assert len(names) == len(set(names))
    assert names[0] == "numbered" and names[-3:] == ["rows_train", "rows_valid", "rows_test"]
    assert "random(" not in " ".join(step.sql for step in plan_steps(PLAN, PrepareOptions()))


def test_the_seed_changes_draws_and_order_only():
    first = plan_steps(PLAN, PrepareOptions(seed=1))
    second = plan_steps(PLAN, PrepareOptions(seed=2))
    differ = {one.name for one, other in zip(first, second, strict=True) if one != other}
    rows = {"rows_train", "rows_valid", "rows_test"}
    assert differ == rows | {name for name in differ if name.startswith("draws_")}


def test_negatives_by_popularity_come_from_training(log, prepared, slow_twin):
    folder = prepared("interactions", log, **NAMED, negatives="popularity")
    trained = {row["item_id"] for row in slow_twin.rows(folder, "train") if row["label"] == 1}
    for split in ("train", "valid", "test"):
        for row in slow_twin.rows(folder, split):
            assert row["label"] == 1 or row["item_id"] in trained


def test_uniform_negatives_are_known_by_the_end_of_their_split(log, prepared, slow_twin):
    folder = prepared("interactions", log, **NAMED, negatives_per_positive=3)
    known = set()
    for split in ("train", "valid", "test"):
        rows = slow_twin.rows(folder, split)
        known |= {row["item_id"] for row in rows if row["label"] == 1}
        assert {row["item_id"] for row in rows if row["label"] == 0} <= known


def test_negatives_that_cannot_be_found_are_reported(tmp_path, prepared):
    folder = tmp_path / "log"
    folder.mkdir()
    lines = [f"a,{item},{item}" for item in range(10)] + ["b,1,20", "b,2,21"]
    (folder / "log.csv").write_text("user_id,item_id,time\n" + "\n".join(lines) + "\n")
    named = {"user": "user_id", "item": "item_id", "time": "time"}
    report = json.loads((prepared("interactions", folder, **named) / "report.json").read_text())
    assert report["negatives"]["wanted"] == 12 and report["negatives"]["missing"] == 10
