import pytest

from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.training.comparison.comparison_report import markdown, seeds_text, summary


def spec(labels=("din", "lmn"), base=None, **names):
    models = [{"label": label, "model": {"name": names.get(label, "dnn")}} for label in labels]
    data = {"comparison_version": 1, "name": "small", "pipeline": "p.yaml", "models": models}
    data |= {"output": "out"} | ({"base": base} if base else {})
    return ComparisonSpec.from_dict(data)


def run(auc, memory=None, part="test"):
    figures = {"auc": auc, "gauc": 0.6, "logloss": 0.5, "normalized_entropy": 0.9}
    if memory:
        figures["memory"] = memory
    train = {"examples_per_second": 5000.0, "peak_rss_mib": 900.25}
    return {"parameters": 1234, "train": train, part: figures}


def seeded(runs):
    """The runs of each model with seeds 1, 2, ..."""
    return {label: dict(enumerate(found, 1)) for label, found in runs.items()}


MEMORY = {"slots_used": 44.0, "memory_kl": 2.5, "slots_for_90": 98.0}


def runs():
    return seeded(
        {
            "din": [run(0.70), run(0.71), run(0.72)],
            "lmn": [run(0.75, MEMORY), run(0.7625, MEMORY), run(0.77, MEMORY)],
        }
    )


def test_numbers():
    result = summary(spec(), [1, 2, 3], runs(), {"auc": 0.9})
    din, lmn = result["models"]["din"], result["models"]["lmn"]
    assert din["auc"]["mean"] == pytest.approx(0.71) and din["auc"]["sd"] == pytest.approx(0.01)
    assert din["rela_impr"] == 0.0 and "test" not in din and "slots_used" not in din
    assert lmn["rela_impr"] == pytest.approx((0.260833 / 0.21 - 1) * 100, abs=1e-3)
    assert lmn["test"]["verdict"] == "better" and lmn["test"]["p"] < 0.05
    assert lmn["slots_for_90"] == {"mean": 98.0, "sd": 0.0, "values": [98.0] * 3}
    assert (result["set"], result["base"], result["seeds"]) == ("test", "din", [1, 2, 3])
    assert lmn["peak_memory_mib"]["mean"] == 900.25 and lmn["seeds"] == [1, 2, 3]
    assert (result["search"], result["failed"]) == (None, [])


def test_each_model_is_tested_against_the_best_other():
    found = seeded(
        {
            "din": [run(0.70), run(0.71), run(0.72)],
            "dnn": [run(0.60), run(0.62), run(0.63)],
            "lmn": [run(0.75), run(0.7625), run(0.77)],
        }
    )
    models = summary(spec(("din", "dnn", "lmn"), base="dnn"), [1, 2, 3], found)["models"]
    others = {label: model["best_other"]["label"] for label, model in models.items()}
    assert others == {"din": "lmn", "dnn": "lmn", "lmn": "din"}
    assert models["lmn"]["best_other"]["verdict"] == "better"
    assert models["din"]["best_other"]["difference"] == pytest.approx(-0.0508333, abs=1e-6)
    assert models["lmn"]["test"]["difference"] == pytest.approx(0.1441667, abs=1e-6)


def test_seeds_that_one_model_lacks_are_left_out_of_its_tests():
    found = runs()
    del found["lmn"][2]
    failed = [{"folder": "lmn-seed2", "reason": "exit status 1"}]
    result = summary(spec(), [1, 2, 3], found, failed=failed)
    assert result["models"]["lmn"]["test"]["seeds"] == 2
    assert result["models"]["lmn"]["test"]["difference"] == pytest.approx(0.05)
    assert result["models"]["lmn"]["auc"]["mean"] == pytest.approx(0.76)
    text = markdown(result)
    assert "over 2 to 3 of 3 seeds, mean" in text
    assert "lmn has 2 of the 3 seeds." in text and "- lmn-seed2: exit status 1" in text
    del found["lmn"][1]
    del found["din"][3]
    lmn = summary(spec(), [1, 2, 3], found)["models"]["lmn"]
    assert lmn["test"] is None and lmn["rela_impr"] is None


def test_the_relative_improvement_is_that_of_common_seeds():
    found = {"din": dict(enumerate([run(0.6), run(0.7), run(0.8)], 1)), "lmn": {1: run(0.65)}}
    lmn = summary(spec(), [1, 2, 3], found)["models"]["lmn"]
    assert lmn["rela_impr"] == pytest.approx(50.0) and lmn["test"]["difference"] > 0


def test_a_cut_comparison_says_how_many_seeds_there_are():
    found = seeded({"din": [run(0.7), run(0.71)], "svd": [baseline(0.6)] * 5})
    cut = summary(spec(list(found), svd="svd"), [1, 2, 3, 4, 5], found, pending=["din-seed3"])
    assert seeds_text(cut) == "2 of 5 seeds"  # what has no network has all of them at once
    assert "set over 2 of 5 seeds, mean ± standard deviation; base" in markdown(cut)
    assert "of the 5 seeds" not in markdown(cut)
    found["lmn"] = {1: run(0.72)}
    cut = summary(spec(list(found), svd="svd"), [1, 2, 3, 4, 5], found, pending=["lmn-seed2"])
    assert "over 1 to 2 of 5 seeds, mean ± standard deviation; base" in markdown(cut)
    assert "\ndin has 2 of the 5 seeds.\n\nlmn has 1 of the 5 seeds.\n" in markdown(cut)
    assert "svd has" not in markdown(cut)
    found = {"lmn": {1: run(0.72)}}
    cut = summary(spec(["lmn"]), [1, 2], found, pending=["lmn-seed2"])
    assert "over 1 of 2 seeds; base" in markdown(cut) and "±" not in markdown(cut)
    found = {"svd": {1: baseline(0.6)}}  # with drawn training rows, seeds count for it as well
    assert seeds_text(summary(spec(["svd"], svd="svd"), [1, 2], found)) == "1 of 2 seeds"
    found["din"] = {1: run(0.7), 2: run(0.71)}
    cut = summary(spec(["din", "svd"], svd="svd"), [1, 2], found, pending=["svd-seed2"])
    assert "over 2 seeds, mean" in markdown(cut) and "\nsvd has 1 of the 2 seeds." in markdown(cut)


def test_a_base_without_results_leaves_the_others_without_a_base():
    found = runs()
    del found["din"]
    lmn = summary(spec(), [1, 2, 3], found)["models"]["lmn"]
    assert (lmn["rela_impr"], lmn["test"], lmn["best_other"]) == (None, None, None)
    assert summary(spec(), [1], {})["models"] == {}


def test_markdown():
    text = markdown(summary(spec(), [1, 2, 3], runs(), {"auc": 0.9}))
    lines = text.splitlines()
    assert lines[0] == "# small"
    assert "test set over 3 seeds, mean ± standard deviation; base: din." in lines[2]
    titles = [cell.strip() for cell in lines[4].strip("|").split("|")]
    assert titles == [
        "model", "AUC", "RelaImpr (%)", "against the base", "against the best other", "GAUC",
        "LogLoss", "NE", "parameters", "examples/s", "peak memory (MiB)", "slots used (%)", "KL",
        "slots for 90 %",
    ]  # fmt: skip
    din = [cell.strip() for cell in lines[6].strip("|").split("|")]
    assert din[:4] == ["din", "0.7100 ± 0.0100", "+0.00", "-"] and din[-1] == "-"
    assert din[4] == f"lmn: {lines[7].split('|')[4].strip().replace('better', 'worse')}"
    lmn = [cell.strip() for cell in lines[7].strip("|").split("|")]
    assert lmn[2].startswith("+24.2") and lmn[3] == "better (p < 0.001)"
    assert lmn[4] == f"din: {lmn[3]}"
    assert lmn[7:] == ["0.9000", "1,234", "5,000", "900", "44.0", "2.500", "98"]
    assert len({len(line) for line in lines[4:8]}) == 1
    assert "best possible AUC on these generated data is 0.9000" in text


def baseline(auc):
    return {**run(auc), "train": {"examples": 9, "seconds": 1.0, "peak_rss_mib": 900.25}}


@pytest.mark.parametrize(("auc", "warns"), [(0.75, True), (0.77, True), (0.7725, False)])
def test_the_first_line_says_that_no_network_beats_the_rates(auc, warns):
    rows = seeded(
        {"counts": [baseline(0.77)] * 2, "svd": [baseline(0.8)] * 2, "lmn": [run(auc)] * 2}
    )
    result = summary(spec(list(rows), counts="rates", svd="svd"), [1, 2], rows)
    assert result["baselines"] == {"counts": "rates", "svd": "svd"}
    first = markdown(result).splitlines()[2]
    want = (
        f"**No network beats the rates of items and users**: the best one, lmn, has an AUC of "
        f"{auc:.4f}, and `counts` 0.7700. This table does not show what networks learn"
    )
    assert first.startswith(want) is warns
    assert "examples_per_second" not in result["models"]["svd"]
    svd = next(line for line in markdown(result).splitlines() if line.startswith("| svd "))
    assert svd.split("|")[2].strip() == "0.8000" and "by +0.0300 in each seed" in svd


def test_a_table_without_networks_has_no_such_line():
    rows = seeded({"counts": [baseline(0.77)], "svd": [baseline(0.8)]})
    text = markdown(summary(spec(list(rows), counts="rates", svd="svd"), [1], rows))
    assert "No network" not in text
    result = summary(spec(), [1, 2, 3], runs())
    del result["baselines"]  # as earlier versions wrote it
    assert "No network" not in markdown(result)


def test_p_is_corrected_for_the_number_of_models():
    found = seeded(
        {
            "din": [run(0.70), run(0.71), run(0.72)],
            "dnn": [run(0.71), run(0.73), run(0.73)],  # differs by 0.01, 0.02, 0.01
            "lmn": [run(0.75), run(0.7625), run(0.77)],  # by 0.05, 0.0525, 0.05
            "svd": [run(0.705), run(0.7051), run(0.7052)],
        }
    )
    result = summary(spec(("din", "dnn", "lmn", "svd")), [1, 2, 3], found)
    tests = {label: model["test"] for label, model in result["models"].items() if "test" in model}
    p = {label: test["p"] for label, test in tests.items()}
    assert p["lmn"] < 0.001 < p["dnn"] < 0.06 < p["svd"]
    assert tests["lmn"]["p_corrected"] == 3 * p["lmn"]
    assert tests["dnn"]["p_corrected"] == 2 * p["dnn"] and tests["dnn"]["verdict"] == "inconclusive"
    assert tests["svd"]["p_corrected"] == p["svd"]
    assert {test["comparisons"] for test in tests.values()} == {3}
    others = {label: model["best_other"] for label, model in result["models"].items()}
    assert {other["comparisons"] for other in others.values()} == {3}  # lmn and dnn count once
    assert others["lmn"]["p_corrected"] == others["dnn"]["p_corrected"]
    text = markdown(result)
    assert (
        "; base: din. p of paired t tests, corrected for 3 comparisons with the base and 3 "
        "comparisons with the best other (Holm)." in text
    )
    assert f"inconclusive (p = {2 * p['dnn']:.3f})" in text and f"(p = {p['dnn']:.3f})" not in text


def test_p_has_three_digits():
    found = runs()
    found["lmn"][3]["test"]["auc"] = 0.8
    assert "better (p = 0.024)" in markdown(summary(spec(), [1, 2, 3], found))


def test_one_seed_says_that_it_tells_little():
    one = {label: {1: found[1]} for label, found in runs().items()}
    text = markdown(summary(spec(), [1], one))
    assert "better (one seed)" in text and "One seed cannot tell" in text
    assert "below 0.005 AUC means nothing" in text
    one["lmn"][1] = run(0.7049)
    assert "inconclusive (one seed)" in markdown(summary(spec(), [1], one))
    assert "over 1 seed; base: din.\n" in text and "±" not in text and "best possible" not in text


def test_a_base_at_chance_has_no_relative_improvement():
    found = seeded({"din": [run(0.7)], "lmn": [run(0.5)]})
    result = summary(spec(base="lmn"), [1], found)
    assert result["models"]["din"]["rela_impr"] is None
    assert "| -" in markdown(result)


def test_without_a_test_set_the_validation_set_counts():
    found = seeded({"din": [run(0.7, part="valid")], "lmn": [run(0.8, part="valid")]})
    assert summary(spec(), [1], found)["set"] == "valid"


@pytest.mark.parametrize(
    ("fitted", "names"),
    [(["lmn"], "lmn"), (["din", "dnn", "lmn"], "din, dnn and lmn")],
)
def test_the_opening_names_rows_that_have_seen_the_labels_of_the_table(fitted, names):
    labels = ("din", "dnn", "lmn")
    rows = seeded({label: [run(0.7, part="valid")] for label in labels})
    result = summary(spec(labels), [1], rows)
    assert "Without a test set" not in markdown(result)
    text = markdown(result | {"fitted": [*fitted, "failed"]})
    assert (
        f"; base: din. Without a test set, weights of {names} are fitted to the labels that they "
        "are measured on, which makes them look better than they are.\n" in text
    )


def test_a_figure_that_one_run_lacks_is_left_out():
    found = runs()
    found["lmn"][2]["test"]["auc"] = None
    result = summary(spec(), [1, 2, 3], found)
    assert "auc" not in result["models"]["lmn"] and result["models"]["lmn"]["rela_impr"] is None
    assert markdown(result)


def test_the_search_stands_below_the_table():
    search = {"trials": 1, "seed": 1, "monitor": "auc", "models": {}}
    result = summary(spec(), [1, 2, 3], runs(), search=search)
    assert result["search"] == search and "\n## Search\n" in markdown(result)


def test_the_same_difference_in_each_seed_is_told_as_such():
    found = {
        "din": {1: run(0.70), 2: run(0.71)},
        "lmn": {1: run(0.72), 2: run(0.73)},
    }
    text = markdown(summary(spec(), [1, 2], found))
    assert "better (by +0.0200 in each seed)" in text
    assert "worse (by -0.0200 in each seed)" in text


def test_metrics_of_users_follow_those_of_all_evaluations():
    found = runs()
    for seed in (1, 2, 3):
        found["lmn"][seed]["test"]["metrics"] = {"brier": seed / 10}
    result = summary(spec(), [1, 2, 3], found)
    assert result["models"]["lmn"]["metrics"]["brier"]["mean"] == pytest.approx(0.2)
    lines = [line.strip("|").split("|") for line in markdown(result).splitlines()[4:8]]
    titles, _, din, lmn = ([cell.strip() for cell in line] for line in lines)
    assert titles[7:10] == ["NE", "brier", "parameters"]
    assert (din[8], lmn[8]) == ("-", "0.2000 ± 0.1000")
    del found["lmn"][2]["test"]["metrics"]["brier"]
    assert summary(spec(), [1, 2, 3], found)["models"]["lmn"]["metrics"] == {"brier": None}


def test_a_metric_of_a_user_does_not_replace_a_figure_of_its_name():
    found = runs()
    for seed in (1, 2, 3):
        found["lmn"][seed]["test"]["metrics"] = {"logloss": 0.25, "parameters": 7.0}
    lines = [
        line.strip("|").split("|") for line in markdown(summary(spec(), [1], found)).splitlines()
    ]
    titles, _, din, lmn = ([cell.strip() for cell in line] for line in lines[4:8])
    names = ["LogLoss", "NE", "logloss", "parameters", "parameters"]
    assert titles[6:11] == names
    assert din[6:11] == ["0.5000", "0.9000", "-", "-", "1,234"]
    assert lmn[6:11] == ["0.5000", "0.9000", "0.2500", "7.0000", "1,234"]
