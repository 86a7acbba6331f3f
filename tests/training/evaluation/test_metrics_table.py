from lmn_tf.training.evaluation.metrics_table import markdown_table, metrics_table


def test_memory_and_missing_figures():
    memory = {"slots_used": 44.14, "memory_kl": 2.5163, "slots_for_90": 1098.0}
    metrics = {
        "model": "lmn",
        "seed": 3,
        "parameters": 112342,
        "train": {
            "steps": 376,
            "examples_per_second": 4508.4,
            "input_wait": 0.024,
            "peak_memory_mib": 1280.4,
        },
        "valid": {"auc": None, "logloss": 0.5, "examples": 10},
        "test": {"auc": 0.8, "gauc": 0.7, "logloss": 0.5, "examples": 10, "memory": memory},
    }
    lines = metrics_table(metrics).splitlines()
    assert lines[0] == (
        "model lmn, seed 3, 112,342 parameters, 376 steps, 4,508 examples/s, input wait 2 %, "
        "peak memory 1,280 MiB"
    )
    assert lines[1].split() == (
        "set AUC GAUC LogLoss examples slots used KL slots for 90 %".split()
    )
    assert lines[2].split() == "valid - - 0.5000 10 - - -".split()
    assert lines[3].split() == "test 0.8000 0.7000 0.5000 10 44.1 % 2.516 1,098".split()


def test_a_run_without_evaluation():
    assert metrics_table({"model": "dnn", "seed": 1}) == "model dnn, seed 1"


def test_columns_stand_below_each_other():
    assert markdown_table(["a", "long title"], [["long cell", "b"]]) == [
        "| a         | long title |",
        "| --------- | ---------- |",
        "| long cell | b          |",
    ]


def test_bars_do_not_end_a_cell():
    assert markdown_table(["a"], [["x|y"]])[2] == "| x\\|y |"


def test_metrics_of_users_follow_those_of_all_evaluations():
    valid = {"auc": 0.75, "logloss": 0.5, "examples": 12, "metrics": {"brier": 0.25}}
    lines = metrics_table({"model": "dnn", "seed": 1, "valid": valid, "test": {"auc": 0.7}})
    assert lines.splitlines()[1].split() == ["set", "AUC", "LogLoss", "brier", "examples"]
    assert lines.splitlines()[2].split() == ["valid", "0.7500", "0.5000", "0.2500", "12"]
    assert lines.splitlines()[3].split() == ["test", "0.7000", "-", "-", "-"]


def test_a_metric_of_a_user_does_not_replace_a_figure_of_its_title():
    valid = {"auc": 0.75, "examples": 12, "metrics": {"AUC": 0.25, "examples": 3.0}}
    lines = metrics_table({"model": "dnn", "seed": 1, "valid": valid}).splitlines()
    assert lines[1].split() == ["set", "AUC", "AUC", "examples", "examples"]
    assert lines[2].split() == ["valid", "0.7500", "0.2500", "3.0000", "12"]
