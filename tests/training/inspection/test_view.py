import json

from lmn_tf.training.inspection.view import (
    View,
    file_name,
    joined,
    new_figure,
    percent,
    reader_text,
    short_label,
    signed_bars,
)


def test_a_view_is_written_as_json_text_and_pictures(tmp_path):
    figure = new_figure(2.0, "title")
    view = View("users_a/b_c", {"x": float("nan")}, "line", {"block/memory": figure})
    paths = view.write(tmp_path / "inspect")
    assert [path.name for path in paths] == [
        "users_a_b_c.json",
        "users_a_b_c.txt",
        "users_a_b_c_block_memory.png",
    ]
    assert json.loads(paths[0].read_text()) == {"x": None}
    assert paths[1].read_text() == "line\n"
    data = paths[2].read_bytes()
    assert data[1:4] == b"PNG" and int.from_bytes(data[16:20]) == 900  # pixels wide


def test_names_and_shares_are_short():
    assert file_name("../" + 100 * "x") == ".._" + 57 * "x"
    assert [percent(share) for share in (0, 0.00012, 0.0123, 0.123, 1)] == [
        "0 %",
        "0.01 %",
        "1.2 %",
        "12 %",
        "100 %",
    ]
    readers = [{"value": "a", "share": 0.5, "lift": 2.0}, {"value": "b", "share": 0.25, "lift": 1}]
    assert reader_text(readers) == "a: 50 % (x2.0), b: 25 % (x1.0)"
    assert reader_text([]) == ""


def test_views_of_different_memories_are_joined():
    one = View("inspect", {"model": "own", "memories": {"a": 1}}, "first", {"a": "figure"})
    other = View("inspect", {"model": "own", "pairs": {"b": 2}}, "second", {"b": "other"})
    report = {"model": "own", "memories": {"a": 1}, "pairs": {"b": 2}}
    pictures = {"a": "figure", "b": "other"}
    assert joined([one, other]) == View("inspect", report, "first\n\nsecond", pictures)
    assert joined([one]) == one


def test_bars_have_the_color_and_the_number_of_their_value():
    axes = new_figure(2.0, "title").subplots()
    signed_bars(axes, [0.5, -0.25])
    assert [bar.get_width() for bar in axes.patches] == [0.5, -0.25]
    red, green = (bar.get_facecolor()[:2] for bar in reversed(axes.patches))
    assert red[0] > red[1] and green[0] < green[1]
    assert [one.get_text() for one in axes.texts] == ["+0.500", "-0.250"]


def test_dollar_signs_of_names_are_drawn():
    assert short_label("A$AP, Ke$ha") == r"A\$AP, Ke\$ha"
    assert short_label(30 * "$") == 25 * r"\$" + "..."
    assert new_figure(2.0, "$1 and $2").get_suptitle() == r"\$1 and \$2"
