import matplotlib.image
import numpy as np
import pytest
from scipy import stats

from lmn_tf.training.comparison.comparison_picture import half_interval, picture, t_quantile


def model(values, test=None, seeds=None):
    values = list(values)
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    auc = {"mean": float(np.mean(values)), "sd": spread, "values": values}
    found = {"auc": auc, "seeds": list(seeds or range(1, len(values) + 1))}
    return found | ({"test": test} if test else {})


def result(models, base="din", oracle=None, name="small"):
    seeds = [1, 2, 3]
    return {
        "name": name,
        "base": base,
        "seeds": seeds,
        "set": "test",
        "oracle": oracle,
        "models": models,
    }


@pytest.mark.parametrize("freedom", [1, 2, 5, 100])
def test_quantiles_agree_with_scipy(freedom):
    assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-6)


def test_intervals_agree_with_scipy():
    values = [0.1, 0.4, 0.2, 0.25]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert half_interval(np.std(values, ddof=1), 4) == pytest.approx((high - low) / 2)
    assert half_interval(0.5, 1) is None


def drawn(models, path, monkeypatch, **more):
    """What the picture's axes hold."""
    from matplotlib.figure import Figure

    kept = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a: (kept.append(self), save(self, *a)))
    picture(result(models, **more), path)
    return kept[0].axes


def test_differences_are_paired_and_sorted(tmp_path, monkeypatch):
    better = {"seeds": 2, "difference": 0.05, "deviation": 0.01, "verdict": "better"}
    models = {
        "lmn": model([0.75, 0.76], better, seeds=[1, 3]),
        "din": model([0.70, 0.71, 0.70]),
        "late": {"seeds": [1]},  # without a result
    }
    path = tmp_path / "a.png"
    left, right = drawn(models, path, monkeypatch, oracle={"auc": 0.9})
    assert [text.get_text() for text in left.get_yticklabels()] == ["din", "lmn"]
    dots = right.lines[1] if right.lines[0].get_xdata()[0] == 0 else right.lines[0]
    np.testing.assert_allclose(dots.get_xdata(), [0.05, 0.06])
    [bar] = right.containers
    (low, _), (high, _) = bar[2][0].get_segments()[0]
    assert (high - low) / 2 == pytest.approx(half_interval(0.01, 2))
    assert right.get_title() == "Difference from din"
    assert left.figure.get_suptitle() == "small: 1 to 3 of 3 seeds"
    assert {text.get_text() for text in left.texts} == {"best possible "}
    assert max(len(axes.get_xticks()) for axes in (left, right)) <= 8  # six of them are shown
    assert matplotlib.image.imread(path).shape[1] == 800


def test_one_seed_and_a_base_without_a_result(tmp_path, monkeypatch):
    left, right = drawn({"lmn": model([0.75])}, tmp_path / "a.png", monkeypatch)
    assert "one seed: no interval" in left.get_xlabel()
    assert right.get_xlabel() == "difference of AUC by seed"
    assert right.get_title() == "din has no result" and not right.containers


def test_labels_with_dollar_signs_are_drawn(tmp_path, monkeypatch):
    models = {"for $1 or $$": model([0.75])}
    left, right = drawn(models, tmp_path / "a.png", monkeypatch, base="for $1 or $$")
    assert left.get_yticklabels()[0].get_text() == r"for \$1 or \$\$"
    assert right.get_title() == r"Difference from for \$1 or \$\$"
    _, right = drawn(models, tmp_path / "a.png", monkeypatch, base="$_$", name="$^$")
    assert right.get_title() == r"\$_\$ has no result"
    assert right.figure.get_suptitle() == r"\$^\$: 1 of 3 seeds"


@pytest.mark.parametrize(
    ("seeds", "p", "rule"),
    [
        (1, None, "0.005 or more"),
        (2, None, "the same in each seed"),
        (2, 0.01, "corrected p < 0.05"),
    ],
)
def test_colors_and_intervals_are_explained(seeds, p, rule, tmp_path, monkeypatch):
    test = {"seeds": seeds, "difference": 0.05, "deviation": 0.0 if seeds > 1 else None}
    test |= {"verdict": "better", "p_corrected": p}
    models = {"din": model([0.7] * seeds), "lmn": model([0.75] * seeds, test)}
    left, right = drawn(models, tmp_path / "a.png", monkeypatch)
    assert right.get_xlabel() == f"difference of AUC by seed (green, red: {rule})"
    note = "one seed: no interval" if seeds == 1 else "mean and 95 % interval"
    assert left.get_xlabel() == f"AUC of the test set ({note})"


def test_what_has_no_color_has_no_explanation(tmp_path, monkeypatch):
    one = {"seeds": 1, "difference": 0.05, "deviation": None, "verdict": "inconclusive"}
    unfinished = {"din": model([0.7] * 2), "lmn": model([0.75], one)}
    _, right = drawn(unfinished, tmp_path / "a.png", monkeypatch)
    assert right.get_xlabel() == "difference of AUC by seed"
