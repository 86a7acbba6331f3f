from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.training.comparison.comparison_report import markdown, summary
from lmn_tf.training.comparison.diagnostics_report import diagnostics_markdown, diagnostics_summary

BOUNDS = [(0, 0, 60), (None, None, 0), (3, 9, 20), (10, 1200, 20)]


def run(auc, aucs, memory=None, bounds=BOUNDS):
    support = [
        {"from": low, "to": high, "rows": rows, "auc": auc}
        for (low, high, rows), auc in zip(bounds, aucs, strict=True)
    ]
    found = {"support": support} | ({"memory": memory} if memory else {})
    return {"train": {}, "test": {"auc": auc}, "diagnostics": found}


def memory(shuffled, churn):
    return {
        "auc_shuffled": shuffled,
        "auc_zeroed": 0.7,
        "gate": None,
        "reads_per_slot": 12.34,
        "slots_below_10": 25.0,
        "address_churn": churn,
    }


RUNS = {
    "din": {1: run(0.72, [0.7, None, 0.71, 0.75]), 2: run(0.74, [0.7, None, 0.71, 0.75])},
    "lmn": {
        1: run(0.73, [0.69, None, 0.71, 0.76], memory(0.71, 1.5)),
        2: run(0.75, [0.69, None, 0.72, 0.76], memory(0.73, 2.5)),
    },
}


def result(runs=RUNS):
    models = [{"label": label, "model": {"name": label}} for label in RUNS]
    data = {"comparison_version": 1, "name": "a", "pipeline": "p.yaml", "models": models}
    found = summary(ComparisonSpec.from_dict(data | {"output": "out"}), [1, 2], runs)
    return {**found, "diagnostics": diagnostics_summary(runs)}


def test_numbers():
    found = diagnostics_summary(RUNS)
    assert list(found["memory"]) == ["lmn"] and list(found["support"]) == ["din", "lmn"]
    assert found["memory"]["lmn"]["auc_shuffled"]["values"] == [0.71, 0.73]
    assert found["memory"]["lmn"]["gate"] is None
    assert found["quartiles"][3] == {"from": 10, "to": 1200, "rows": 20}
    assert found["support"]["din"][1] is None
    assert found["support"]["lmn"][2]["values"] == [0.71, 0.72]


def test_runs_without_diagnostics_have_none():
    assert diagnostics_summary({"din": {1: {"train": {}}}}) is None
    part = {"din": {1: RUNS["din"][1], 2: {"train": {}, "diagnostics": {}}}, "lmn": RUNS["lmn"]}
    assert list(diagnostics_summary(part)["support"]) == ["lmn"]


def cells(lines):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]


def test_tables():
    lines = diagnostics_markdown(result())
    table = cells(lines)
    assert table[0] == [
        "model",
        "AUC",
        "AUC, shuffled addresses",
        "AUC, zeroed memory",
        "reads a slot",
        "slots with < 10 reads (%)",
        "address churn (%)",
    ]
    assert table[2][2] == "0.7200 ± 0.0141 (-0.0200)" and table[2][3] == "0.7000 (-0.0400)"
    assert table[2][4:] == ["12.3", "25.0", "2.0 ± 0.7"]
    assert table[3] == [
        "model",
        "support 0 (60 % of rows)",
        "support 3 to 9 (20 % of rows)",
        "support 10 to 1,200 (20 % of rows)",
    ]
    assert table[5] == ["din", "0.7000", "0.7100", "0.7500"]
    assert table[6][1] == "0.6900 (-0.0100)" and table[6][3] == "0.7600 (+0.0100)"
    assert "\n".join(lines) in markdown(result())


def test_differences_are_those_of_common_seeds():
    of_base = {seed: run(0.7, [auc] * 4) for seed, auc in ((1, 0.6), (2, 0.8), (3, 0.9))}
    one = {"din": of_base, "lmn": {1: run(0.7, [0.61] * 4)}}
    assert cells(diagnostics_markdown(result(one)))[-1][1:] == ["0.6100 (+0.0100)"] * 3
    none = {"din": {2: of_base[2]}, "lmn": one["lmn"]}
    assert cells(diagnostics_markdown(result(none)))[-1][1:] == ["0.6100"] * 3


def test_quartiles_whose_bounds_differ_over_seeds_have_none():
    other = [(0, 1, 60), (None, None, 0), (3, 9, 15), (10, 900, 25)]
    runs = {"din": {1: run(0.7, [0.6] * 4), 2: run(0.7, [0.8] * 4, bounds=other)}}
    found = diagnostics_summary(runs)["quartiles"]
    assert found[0] == {"from": None, "to": None, "rows": 60} and found[1]["rows"] == 0
    titles = ["model", "first quartile", "third quartile", "fourth quartile"]
    assert cells(diagnostics_markdown(result(runs)))[0] == titles


def test_a_base_without_diagnostics_has_no_differences():
    found = result()
    del found["diagnostics"]["support"]["din"]
    assert cells(diagnostics_markdown(found))[-1][1] == "0.6900"
