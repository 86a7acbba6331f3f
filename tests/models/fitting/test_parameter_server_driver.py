import pytest
from local_cluster import drive

# The quick tests train and evaluate on a server and a worker by the command: `cli/test_launch.py`.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen():
    return drive("fit_driver.py", "fit")


def test_one_step_at_a_time_is_plain_keras():
    seen = drive("fit_driver.py", "plain")
    one, plain = seen["one"], seen["plain"]
    assert one.keys() - plain.keys() == {"staleness", "staleness_max"}
    # Servers add up in another order, and Adam scales the rounding up where a gradient should be 0:
    # biases in front of a batch normalization, which only evaluation and the length of queries see.
    for key, values in plain.items():
        tolerance = 0.02 if "val" in key else {"query_norm": 1e-3}.get(key, 1e-4)
        assert one[key] == pytest.approx(values, rel=tolerance), key
    assert one["staleness_max"] == [0.0]
    assert 0 <= seen["predictions"] < 0.05
    assert seen["evaluate"] == pytest.approx(seen["plain_evaluate"], rel=1e-5)


def test_one_step_at_a_time_is_never_stale(seen):
    assert seen["one"]["staleness_max"] == [0.0]


def test_tables_know_the_reads_of_the_row_that_was_read_most(seen):
    assert len(seen["reads"]) > 2
    assert all(most == reads > 1 for reads, most in seen["reads"])


def test_evaluation_adds_up_over_workers(seen):
    assert seen["evaluate"]["logloss"] == pytest.approx(seen["log_loss"], rel=1e-5)
    assert seen["evaluate"]["auc"] == pytest.approx(seen["rank_auc"], abs=1e-6)
    assert "gauc" in seen["evaluate"] and "staleness" not in seen["evaluate"]


def test_callbacks_early_stopping_and_checkpoints_as_in_keras(seen):
    many = seen["many"]
    assert len(many["loss"]) == seen["epochs"] == 2  # stopped early
    assert many["val_auc"][-1] > 0.6
    assert seen["batches"] == 20
    assert seen["iterations"] == seen["dense_iterations"] == 30
    assert 0 <= seen["saved"] < 1e-5
    assert seen["stopped"] == 3


def test_staleness_is_bounded_and_logged(seen):
    assert all(0 <= value <= 4 + 2 - 2 for value in seen["many"]["staleness_max"])
    assert seen["many"]["staleness"][0] <= seen["many"]["staleness_max"][0]


def test_single_batches(seen):
    assert seen["predict_on_batch"] == [100, 1]


def test_workers_may_make_their_own_data():
    workers = drive("fit_driver.py", "workers")
    assert workers["on_batch"]["loss"] > 0
    assert len(workers["loss"]) == 2 and workers["loss"][1] < workers["loss"][0]
    assert workers["steps"] == 6
    assert "`steps_per_epoch` must be given where each worker makes" in workers["message"]


def test_row_wise_tables_are_split_over_the_servers(seen):
    # The table of items is too small to be worth it.
    assert [path.split("/")[-1] for path in seen["tables"]] == ["memory_values"]
    for devices in seen["tables"].values():
        assert [f"/job:ps/replica:0/task:{index}" in devices[index] for index in (0, 1)]
    assert all(share > 0.5 for share in seen["moved"])
