from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.training.comparison.comparison_report import markdown, summary
from lmn_tf.training.comparison.curve_report import curve_markdown, curve_summary

LABELS = ("din", "lmn")


def spec(vary):
    models = [{"label": label, "model": {"name": label}} for label in LABELS]
    data = {"comparison_version": 1, "name": "small", "pipeline": "p.yaml", "models": models}
    return ComparisonSpec.from_dict(data | {"output": "out", "vary": vary})


def run(auc, rows=None):
    train = {"examples_per_second": 5000.0} | ({} if rows is None else {"rows": rows})
    return {"parameters": 1234, "train": train, "test": {"auc": auc}}


def curve(vary, metrics):
    found = spec(vary)
    summaries = [summary(found, [1, 2], of_value) for of_value in metrics]
    return {**summaries[-1], "curve": curve_summary(found, summaries, metrics)}


ROWS = [
    {"din": {1: run(0.7, 50), 2: run(0.71, 50)}, "lmn": {1: run(0.6, 50), 2: run(0.62, 50)}},
    {"din": {1: run(0.72, 990), 2: run(0.72, 990)}, "lmn": {1: run(0.75, 990)}},
]


def test_points():
    found = curve({"data.train_rows": ["5%", "100%"]}, ROWS)["curve"]
    assert found["key"] == "data.train_rows"
    assert [point["value"] for point in found["points"]] == ["5%", "100%"]
    assert [point["rows"] for point in found["points"]] == [50, 990]
    few, many = (point["models"]["lmn"] for point in found["points"])
    assert few["auc"]["values"] == [0.6, 0.62] and few["test"]["verdict"] == "worse"
    assert many["seeds"] == [1] and many["test"]["verdict"] == "inconclusive"


def test_without_an_option_there_is_none():
    assert curve(None, ROWS[-1:])["curve"] is None


def test_tables():
    result = curve({"data.train_rows": ["5%", "100%"]}, ROWS)
    lines = curve_markdown(result["curve"], "din")
    assert lines[0] == "## AUC by `data.train_rows`"
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    titles = ["model", "train_rows=5% (50 rows)", "train_rows=100% (990 rows)"]
    assert cells[0] == titles and cells[4] == titles
    assert cells[2] == ["din", "0.7050 ± 0.0071", "0.7200"]
    assert cells[3] == ["lmn", "0.6100 ± 0.0141", "0.7500"]
    assert cells[6] == ["lmn", "-0.0950 ± 0.0071 (worse)", "+0.0300 (inconclusive)"]
    text = markdown(result)
    assert "base: din; train_rows=100%." in text and "\n".join(lines) in text


def test_p_is_corrected_for_the_comparisons_of_all_values():
    base = {1: run(0.7), 2: run(0.7), 3: run(0.7)}
    clear = {1: run(0.75), 2: run(0.76), 3: run(0.75)}
    less_clear = {1: run(0.73), 2: run(0.75), 3: run(0.75)}
    metrics = [{"din": base, "lmn": found} for found in (less_clear, clear, less_clear, clear)]
    metrics[3] = {"din": base, "lmn": {1: run(0.8)}}
    result = curve({"model.num_keys": [4, 8, 16, 32]}, metrics)
    few, many, again, last = (point["models"]["lmn"]["test"] for point in result["curve"]["points"])
    # Equal runs are those of a model without the option: one comparison.
    assert few == again and few["comparisons"] == 2
    assert many["p_corrected"] == 2 * many["p"] < few["p_corrected"] == few["p"]
    assert (last["p"], last["verdict"]) == (None, "inconclusive")
    text = "\n".join(curve_markdown(result["curve"], "din"))
    assert (
        "Difference from din, of runs with the same seed; verdicts of paired t tests, corrected "
        "for 2 comparisons (Holm):" in text
    )


def test_the_table_of_one_value_is_corrected_for_its_own_models():
    base = {1: run(0.7), 2: run(0.7), 3: run(0.7)}
    lmn = [{1: run(0.72 + x), 2: run(0.76), 3: run(0.75)} for x in (0.008, 0.009)]
    result = curve({"model.num_keys": [4, 8]}, [{"din": base, "lmn": found} for found in lmn])
    of_table, of_curve = (
        models["lmn"]["test"]
        for models in (result["models"], result["curve"]["points"][-1]["models"])
    )
    assert of_table["p"] == of_table["p_corrected"] == of_curve["p"]
    assert (of_table["verdict"], of_curve["verdict"]) == ("better", "inconclusive")
    assert (of_table["comparisons"], of_curve["comparisons"]) == (1, 2)


def test_what_is_still_to_come_has_no_figures():
    result = curve({"model.num_keys": [4, 8]}, [{}, {"lmn": {1: run(0.7)}}])
    assert result["curve"]["points"][0] == {"value": 4, "models": {}}
    cells = curve_markdown(result["curve"], "din")[4]
    assert [cell.strip() for cell in cells.split("|")[1:-1]] == ["lmn", "-", "0.7000"]
