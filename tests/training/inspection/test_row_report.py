from lmn_tf.training.inspection.row_report import draw_row, row_text

SLOT = {
    "slot": 7,
    "row": 1,
    "column": 2,
    "share": 0.5,
    "items": [{"value": "shoes", "share": 1.0}],
    "without": {"logit": -0.5, "probability": 0.25},
}
REPORT = {
    "model": "lmn",
    "user": "ann",
    "item": "hat",
    "rows": 2,
    "label": "click",
    "logit": 1.0,
    "probability": 0.75,
    "memories": {
        "clicks_memory": {
            "reads": 8,
            "slots": 6,
            "without": {"logit": 1.5, "probability": 0.875},
            "top_slots": [SLOT],
        },
    },
}
UNREAD = {"reads": 0, "slots": 0, "without": {"logit": 1.0, "probability": 0.75}, "top_slots": []}


def test_text_has_the_score_with_and_without_slots():
    lines = row_text(REPORT).splitlines()
    assert lines[:5] == [
        "lmn: user ann, item hat (the last of 2 rows)",
        "click: probability 0.7500, logit 1.0000",
        "",
        "clicks_memory: 8 reads of 6 slots",
        "without all of them: probability 0.8750, logit 1.5000, change +0.1250, +0.5000",
    ]
    assert " ".join(lines[7].split()) == "7 1 2 50 % -0.5000, -1.5000 shoes: 100 %"
    report = {**REPORT, "rows": 1, "memories": {"empty": UNREAD}}
    assert row_text(report).splitlines()[0] == "lmn: user ann, item hat"
    assert row_text(report).splitlines()[-1] == "empty: 0 reads of 0 slots"


def test_a_picture_says_what_it_shows():
    figure = draw_row("clicks_memory", REPORT)
    assert "probability of click 0.750" in figure.get_suptitle()
    left, right = figure.axes
    assert [one.get_text() for one in left.get_yticklabels()] == ["all 6", "7"]
    assert [one.get_text() for one in right.texts] == ["+0.500", "-1.500"]
    assert right.get_xlabel() == "change of the logit without the slot"
    draw_row("empty", {**REPORT, "memories": {"empty": UNREAD}})


def test_names_with_dollar_signs_are_drawn(tmp_path):
    slot = {**SLOT, "items": [{"value": "Cash $$ & Co", "share": 1.0}]}
    memory = {**REPORT["memories"]["clicks_memory"], "top_slots": [slot]}
    report = {**REPORT, "user": "A$AP", "item": "Ke$ha", "memories": {"clicks_memory": memory}}
    figure = draw_row("clicks_memory", report)
    figure.savefig(tmp_path / "names.png")
    assert r"user A\$AP, item Ke\$ha" in figure.get_suptitle()
    assert figure.axes[0].texts[0].get_text() == r"Cash \$\$ & Co: 100 %"
