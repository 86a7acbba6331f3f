import pytest

from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.training.comparison_report import markdown, picture, summary


def spec(labels=("din", "lmn"), base=None):
    models = [{"label": label, "model": {"name": "dnn"}} for label in labels]
    data = {"comparison_version": 1, "name": "small", "pipeline": "p.yaml", "models": models}
    data |= {"output": "out"} | ({"base": base} if base else {})
    return ComparisonSpec.from_dict(data)


def run(auc, memory=None, part="test"):
    figures = {"auc": auc, "gauc": 0.6, "logloss": 0.5, "normalized_entropy": 0.9}
    if memory:
        figures["memory"] = memory
    return {"parameters": 1234, "train": {"examples_per_second": 5000.0}, part: figures}


MEMORY = {"slots_used": 44.0, "memory_kl": 2.5, "slots_for_90": 98.0}


def runs():
    return {
        "din": [run(0.70), run(0.71), run(0.72)],
        "lmn": [run(0.75, MEMORY), run(0.7625, MEMORY), run(0.77, MEMORY)],
    }


def test_numbers():
    result = summary(spec(), [1, 2, 3], runs(), {"auc": 0.9})
    din, lmn = result["models"]["din"], result["models"]["lmn"]
    assert din["auc"]["mean"] == pytest.approx(0.71) and din["auc"]["sd"] == pytest.approx(0.01)
    assert din["rela_impr"] == 0.0 and "test" not in din and "slots_used" not in din
    assert lmn["rela_impr"] == pytest.approx((0.260833 / 0.21 - 1) * 100, abs=1e-3)
    assert lmn["test"]["verdict"] == "better" and lmn["test"]["p"] < 0.05
    assert lmn["slots_for_90"] == {"mean": 98.0, "sd": 0.0, "values": [98.0] * 3}
    assert (result["set"], result["base"], result["seeds"]) == ("test", "din", [1, 2, 3])


def test_markdown():
    text = markdown(summary(spec(), [1, 2, 3], runs(), {"auc": 0.9}))
    lines = text.splitlines()
    assert lines[0] == "# small"
    assert "test set over 3 seeds, mean ± standard deviation; base: din." in lines[2]
    titles = [cell.strip() for cell in lines[4].strip("|").split("|")]
    assert titles == [
        "model", "AUC", "RelaImpr (%)", "against the base", "GAUC", "LogLoss", "NE", "parameters",
        "examples/s", "slots used (%)", "KL", "slots for 90 %",
    ]  # fmt: skip
    din = [cell.strip() for cell in lines[6].strip("|").split("|")]
    assert din[:4] == ["din", "0.7100 ± 0.0100", "+0.00", "-"] and din[-1] == "-"
    lmn = [cell.strip() for cell in lines[7].strip("|").split("|")]
    assert lmn[2].startswith("+24.2") and lmn[3].startswith("better (p = 0.00")
    assert lmn[6:] == ["0.9000", "1,234", "5,000", "44.0", "2.500", "98"]
    assert len({len(line) for line in lines[4:8]}) == 1
    assert "best possible AUC on these generated data is 0.9000" in text


def test_one_seed_says_that_it_tells_nothing():
    one = {label: [found[0]] for label, found in runs().items()}
    text = markdown(summary(spec(), [1], one))
    assert "inconclusive (one seed)" in text and "One seed cannot tell" in text
    assert "over 1 seed; base" in text and "±" not in text and "best possible" not in text


def test_a_base_at_chance_has_no_relative_improvement():
    result = summary(spec(base="lmn"), [1], {"din": [run(0.7)], "lmn": [run(0.5)]})
    assert result["models"]["din"]["rela_impr"] is None
    assert "| -" in markdown(result)


def test_without_a_test_set_the_validation_set_counts():
    found = {"din": [run(0.7, part="valid")], "lmn": [run(0.8, part="valid")]}
    assert summary(spec(), [1], found)["set"] == "valid"


def test_a_figure_that_one_run_lacks_is_left_out():
    found = runs()
    found["lmn"][1]["test"]["auc"] = None
    result = summary(spec(), [1, 2, 3], found)
    assert "auc" not in result["models"]["lmn"] and result["models"]["lmn"]["rela_impr"] is None
    assert markdown(result)


def test_picture(tmp_path):
    picture(summary(spec(), [1, 2, 3], runs(), {"auc": 0.9}), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
