import random

import pytest

from lmn_tf.data.preparers import prepare
from lmn_tf.specs.errors import UserError

NAMES = {"user": "user_id", "item": "item_id", "label": "click", "time": "time"}
START = 1_511_539_200


def write(folder):
    """Writes a log with repeated lines, equal moments, and an event outside the nine days."""
    draw = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for user in range(6):
        for _ in range(draw.choice([3, 20, 40])):
            item, behavior = draw.randrange(50), draw.choice(["pv", "pv", "fav", "cart", "buy"])
            lines.append(f"{user},{item},{item % 7},{behavior},{START + draw.randrange(60)}")
    lines += [lines[0], f"1,1,1,pv,{START - 1}"]
    (folder / "UserBehavior.csv").write_text("\n".join(lines) + "\n")
    return folder


def read_log(twin, source, positives):
    events = set()
    with twin.open_text(source / "UserBehavior.csv") as file:
        for line in file:
            user, item, category, behavior, time = line.rstrip("\n").split(",")
            label = 1 if behavior in positives else None
            seen = (int(category), behavior)
            if START <= int(time) < START + 9 * 86_400:
                events.add(twin.Event(int(user), int(item), int(time), label, seen))
    return sorted(events, key=repr)


def check(twin, prepared, source, positives=("pv",), every=1):
    folder = prepared("taobao-userbehavior", source, positive_behaviors=positives)
    log = read_log(twin, source, positives)
    seen = ("category_id", "behavior")
    slow = twin.Twin(folder, log, seen=seen, sampled=True, repeats=True, **NAMES)
    slow.check(split_by="time", every=every)


@pytest.mark.parametrize("positives", [("pv",), ("cart", "buy")])
def test_rows_know_only_strictly_earlier_behaviors(tmp_path, slow_twin, prepared, positives):
    check(slow_twin, prepared, write(tmp_path / "taobao"), positives)


def test_unknown_behavior(tmp_path):
    with pytest.raises(UserError, match="`positive_behaviors` must be of .* Did you mean `buy`"):
        prepare(
            "taobao-userbehavior",
            write(tmp_path / "taobao"),
            tmp_path / "out",
            positive_behaviors=("buys",),
        )


def test_real_rows_know_only_strictly_earlier_behaviors(data_dir, slow_twin, prepared):
    check(slow_twin, prepared, data_dir / "taobao-userbehavior-sample")
