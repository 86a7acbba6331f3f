from lmn_tf.training.inspection.overlap_report import draw_overlap, overlap_text

ITEMS = [[{"value": "shoes", "share": 1.0}], [{"value": "hat", "share": 0.5}]]
MEMORY = {
    "rows": [3, 1],
    "slots": [40, 20],
    "shared_slots": 5,
    "jaccard": 0.25,
    "jaccard_of_others": 0.125,
    "others": 8,
    "top_slots": [{"slot": 7, "row": 1, "column": 2, "shares": [0.5, 0.25], "items": ITEMS}],
}


def test_text_names_users_slots_and_items():
    report = {"model": "lmn", "users": ["ann", "bob"], "memories": {"clicks_memory": MEMORY}}
    lines = overlap_text(report).splitlines()
    assert lines[:4] == [
        "lmn: clicks_memory",
        "user ann: 3 rows read 40 slots",
        "user bob: 1 rows read 20 slots",
        "shared: 5 slots; weighted Jaccard index 0.250 (median of either user and others: 0.125, "
        "8 pairs)",
    ]
    titles = "slot row column ann bob items of ann (share) items of bob (share)"
    assert " ".join(lines[5].split()) == titles
    assert " ".join(lines[6].split()) == "7 1 2 50 % 25 % shoes: 100 % hat: 50 %"


def test_nothing_shared_is_said():
    nothing = {
        **MEMORY,
        "shared_slots": 0,
        "jaccard": 0.0,
        "jaccard_of_others": None,
        "top_slots": [],
    }
    report = {"model": "lmn", "users": ["ann", "bob"], "memories": {"a": nothing, "b": nothing}}
    lines = overlap_text(report).splitlines()
    assert lines[3] == "shared: 0 slots; weighted Jaccard index 0.000"
    assert lines[4:6] == ["", "lmn: b"]
    draw_overlap("a", ("ann", "bob"), nothing)


def test_a_picture_has_a_side_for_each_user():
    figure = draw_overlap("clicks_memory", ("ann", "bob"), MEMORY)
    left, right = figure.axes
    assert left.get_title() == "user ann: 3 rows, 40 slots"
    assert right.get_title() == "user bob: 1 rows, 20 slots"
    assert [one.get_text() for one in right.texts] == ["hat: 50 %"]
    assert "weighted Jaccard index 0.250" in figure.get_suptitle()


def test_names_with_dollar_signs_are_drawn(tmp_path):
    items = [[{"value": "A$AP, Ke$ha", "share": 1.0}]] * 2
    memory = {**MEMORY, "top_slots": [{**MEMORY["top_slots"][0], "items": items}]}
    figure = draw_overlap("clicks_memory", ("A$AP", "Cash $$ & Co"), memory)
    figure.savefig(tmp_path / "names.png")
    assert r"users A\$AP and Cash \$\$ & Co share" in figure.get_suptitle()
    left, right = figure.axes
    assert right.get_title().startswith(r"user Cash \$\$ & Co: ")
    assert left.texts[0].get_text() == r"A\$AP, Ke\$ha: 100 %"
