import matplotlib.image
import pytest

from lmn_tf.training.comparison.comparison_picture import half_interval
from lmn_tf.training.comparison.curve_picture import curve_picture


def model(mean, difference=None):
    found = {"seeds": [1, 2], "auc": {"mean": mean, "sd": 0.01, "values": [mean, mean]}}
    test = {"seeds": 2, "difference": difference, "deviation": 0.002, "verdict": "better"}
    return found | {"test": None if difference is None else test}


def drawn(key, points, path, monkeypatch, **more):
    """The axes of the picture."""
    from matplotlib.figure import Figure

    kept = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a: (kept.append(self), save(self, *a)))
    curve = {"key": key, "points": points}
    result = {"name": "small", "base": "din", "set": "test", "curve": curve}
    curve_picture(result | more, path)
    return kept[0].axes


def points(values, **more):
    return [
        {"value": value, "models": {"din": model(0.7), "lmn": model(0.7, 0.01 * place)}} | more
        for place, value in enumerate(values)
    ]


def test_means_and_intervals_against_rows(tmp_path, monkeypatch):
    found = points(["5%", "100%"])
    found[0]["rows"], found[1]["rows"] = 50, 1000
    left, right = drawn("data.train_rows", found, tmp_path / "a.png", monkeypatch)
    assert left.get_xscale() == "log" and left.get_xlabel() == "training rows"
    assert [text.get_text() for text in left.get_xticklabels()] == ["5%\n50", "100%\n1,000"]
    assert left.get_legend_handles_labels()[1] == ["din", "lmn"]
    [bars] = right.containers
    assert bars.lines[0].get_xdata().tolist() == [50, 1000]
    assert bars.lines[0].get_ydata().tolist() == [0.0, 0.01]
    (_, low), (_, high) = bars.lines[2][0].get_segments()[0]
    assert (high - low) / 2 == pytest.approx(half_interval(0.002, 2))
    assert right.get_title() == "Difference from din"
    assert left.get_ylabel() == "AUC of the test set (95 % intervals)"
    assert matplotlib.image.imread(tmp_path / "a.png").shape[1] == 900


@pytest.mark.parametrize(
    ("values", "scale", "names"),
    [
        ([50, 500], "log", ["50", "500"]),
        ([0, 0.5], "linear", ["0", "0.5"]),
        (["sum", "mean"], "linear", ["sum", "mean"]),
    ],
)
def test_any_option_has_an_axis(values, scale, names, tmp_path, monkeypatch):
    left, _ = drawn("model.option", points(values), tmp_path / "a.png", monkeypatch)
    assert left.get_xscale() == scale
    assert [text.get_text() for text in left.get_xticklabels()] == names


def test_what_is_missing_is_left_out(tmp_path, monkeypatch):
    found = points([1, 2])
    found[0]["models"] = {}
    left, _ = drawn("model.option", found, tmp_path / "a.png", monkeypatch)
    assert [bars.lines[0].get_xdata().tolist() for bars in left.containers] == [[2], [2]]


def test_names_with_dollar_signs_are_drawn(tmp_path, monkeypatch):
    found = [{"value": "$a$", "models": {"for $1 or $2": model(0.7), "$^$": model(0.7, 0.1)}}]
    names = {"base": "for $1 or $2", "name": "$_$"}
    left, right = drawn("model.option", found, tmp_path / "a.png", monkeypatch, **names)
    assert left.get_legend_handles_labels()[1] == [r"for \$1 or \$2", r"\$^\$"]
    assert [text.get_text() for text in left.get_xticklabels()] == [r"\$a\$"]
    assert right.get_title() == r"Difference from for \$1 or \$2"
    assert left.figure.get_suptitle() == r"\$_\$"


def test_one_seed_has_no_intervals(tmp_path, monkeypatch):
    one = {"seeds": [1], "auc": {"mean": 0.7, "sd": None, "values": [0.7]}}
    found = [{"value": 1, "models": {"din": one, "lmn": {"auc": None}}}]
    left, _ = drawn("model.option", found, tmp_path / "a.png", monkeypatch)
    assert left.get_ylabel() == "AUC of the test set (one seed: no intervals)"
