from lmn_tf.training.inspection.pairs.row_pair_report import draw_row_pairs, row_pair_text

EVENTS = [
    {"event": "shoes", "times": 2, "value": 0.25, "adds": 0.5},
    {"event": "socks", "times": 1, "value": -0.125, "adds": -0.125},
]
REPORT = {
    "model": "lmn_pair",
    "user": "ann",
    "item": "hat",
    "rows": 2,
    "label": "click",
    "logit": 1.0,
    "probability": 0.75,
    "pairs": {
        "clicks_pairs": {
            "events": 4,
            "known": 3,
            "without": {"logit": 0.625, "probability": 0.625},
            "top_events": EVENTS,
        },
    },
}
UNKNOWN = {
    "events": 2,
    "known": 0,
    "without": {"logit": 1.0, "probability": 0.75},
    "top_events": [],
}


def test_text_has_the_score_with_and_without_the_memory():
    lines = row_pair_text(REPORT).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "lmn_pair: user ann, item hat (the last of 2 rows)",
        "click: probability 0.7500, logit 1.0000",
        "",
        "clicks_pairs: 3 of 4 events have a value for the item",
        "without all of them: probability 0.6250, logit 0.6250, change -0.1250, -0.3750",
        "",
        "event times value added to the logit",
        "shoes 2 +0.2500 +0.5000",
        "socks 1 -0.1250 -0.1250",
    ]
    text = row_pair_text({**REPORT, "pairs": {"none": UNKNOWN}})
    assert text.splitlines()[-1] == "none: 0 of 2 events have a value for the item"


def test_a_picture_says_what_it_shows():
    figure = draw_row_pairs("clicks_pairs", REPORT)
    title = figure.get_suptitle()
    assert "probability of click 0.750" in title and "(logit 1.00 → 0.62)" in title
    [axes] = figure.axes
    assert [one.get_text() for one in axes.get_yticklabels()] == ["shoes (2 times)", "socks"]
    assert [one.get_text() for one in axes.texts] == ["+0.500", "-0.125"]
    draw_row_pairs("none", {**REPORT, "pairs": {"none": UNKNOWN}})


def test_names_with_dollar_signs_are_drawn(tmp_path):
    memory = REPORT["pairs"]["clicks_pairs"]
    memory = {**memory, "top_events": [{**EVENTS[0], "event": "Cash $$ & Co"}]}
    report = {**REPORT, "user": "A$AP", "item": "Ke$ha", "pairs": {"clicks_pairs": memory}}
    figure = draw_row_pairs("clicks_pairs", report)
    figure.savefig(tmp_path / "names.png")
    assert r"user A\$AP, item Ke\$ha" in figure.get_suptitle()
    assert figure.axes[0].get_yticklabels()[0].get_text() == r"Cash \$\$ & Co (2 times)"
