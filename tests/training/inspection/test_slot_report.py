from lmn_tf.training.inspection.slot_report import draw_slot, slot_text

READERS = {"segment": [{"value": "3", "share": 0.5, "lift": 2.0}]}
ONE = {"slot": 7, "row": 1, "column": 1, "share": 0.25, "value_norm": 1.0, "readers": READERS}
DEAD = {"slot": 8, "row": 1, "column": 2, "share": 0.0, "value_norm": 0.5, "readers": {}}
MEMORY = {
    "num_keys": 6,
    "reads": 10.0,
    "slot": ONE,
    "by_value": [{**ONE, "slot": 9, "cosine": 0.75}],
    "by_key": [{**DEAD, "cosine": 0.5}],
}


def test_text_has_the_slot_its_readers_and_its_neighbors():
    report = {"model": "lmn", "memories": {"clicks_memory": MEMORY}}
    lines = [" ".join(line.split()) for line in slot_text(report).splitlines()]
    assert lines == [
        "lmn: clicks_memory, slot 7 (row 1, column 1): 25 % of the reads",
        "",
        "slot row column share length segment (share, lift)",
        "7 1 1 25.00 % 1.00 3: 50 % (x2.0)",
        "",
        "nearest values, of slots that are read:",
        "slot row column share length cosine segment (share, lift)",
        "9 1 1 25.00 % 1.00 0.750 3: 50 % (x2.0)",
        "",
        "nearest keys:",
        "slot row column share length cosine",
        "8 1 2 0.00 % 0.50 0.500",
    ]


def test_a_picture_has_readers_and_both_kinds_of_neighbors():
    figure = draw_slot("clicks_memory", MEMORY)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        "Who reads it: segment",
        "Nearest values, of slots that are read",
        "Nearest keys",
    ]
    assert [one.get_text() for one in figure.axes[0].texts] == ["x2.0"]
    dead = draw_slot("clicks_memory", {**MEMORY, "slot": DEAD, "by_value": []})
    assert dead.get_suptitle().endswith("slot 8 (row 1, column 2): never read")


def test_names_with_dollar_signs_are_drawn(tmp_path):
    readers = {"artist": [{"value": "A$AP, Ke$ha", "share": 0.5, "lift": 2.0}]}
    one = {**ONE, "readers": readers, "cosine": 0.75}
    figure = draw_slot("clicks_memory", {**MEMORY, "slot": one, "by_value": [one]})
    figure.savefig(tmp_path / "names.png")
    assert figure.axes[0].get_yticklabels()[0].get_text() == r"A\$AP, Ke\$ha"
    assert figure.axes[1].texts[0].get_text() == r"artist A\$AP, Ke\$ha: 50 %"
