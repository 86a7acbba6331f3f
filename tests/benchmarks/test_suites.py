"""Each benchmark runs at tiny sizes; what it finds there means nothing, that it finds it does."""

import json
import os
import runpy
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf  # noqa: F401  So that the CPU is split before benchmarks start TensorFlow.
from slot_twins import best_slots

from lmn_tf.models import registry


def rows(result):
    return [row for case in result["cases"] for row in case["contenders"]]


def check(result):
    """Everything was timed, or left out because a peer is not installed."""
    assert result["quick"] is True
    for row in rows(result):
        assert "skipped" in row or row["seconds"]["median"] > 0
        if "skipped" in row:
            assert row["skipped"].startswith("needs torch")


@pytest.mark.parametrize(
    "kind",
    [
        *(
            pytest.param(kind, marks=pytest.mark.slow)
            for kind in ("search, √n", "scores + search", "read-out, forward,", "backward + merge")
        ),
        "hits of",
    ],
)
def test_ops(kind, run_quick):
    result = run_quick("ops", "--only", kind)
    check(result)
    assert all(row["difference"] < 1e-5 for row in rows(result)[1:] if "difference" in row)
    # The read-out's include those of its memory.
    many = {
        "search, √n": 7,
        "scores + search": 6,
        "read-out, forward,": 8,
        "backward + merge": 9,
        "hits of": 2,
    }
    assert len(rows(result)) == many[kind]


def test_the_timed_layer_is_the_one_that_pytorch_computes(root):
    """Where PyTorch is not installed nothing else would see that the two have parted."""
    script = runpy.run_path(str(root / "pipelines" / "benchmarks" / "product_key_layer.py"))
    sizes = {"num_keys": 6, "dim": 4}
    given, inputs = script["_weights"](**sizes), script["_inputs"](9, 4)[0]
    scores = [
        inputs @ given[f"{axis}_kernel"] @ given[f"{axis}_keys"].T for axis in ("row", "column")
    ]
    scores, slots = best_slots(*scores, 3)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    want = np.einsum("nk,nkd->nd", shares, given["values"][slots])
    output, _ = script["build_ours"](**sizes, k=3, queries=9).output()
    np.testing.assert_allclose(output, want / np.abs(want).max(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["forward", "step"])
def test_product_key_layer(kind, run_quick):
    result = run_quick("product_key_layer", "--only", kind)
    check(result)
    ours = [row for row in rows(result) if row["contender"].startswith("lmn_tf")]
    assert len(ours) == {"forward": 1, "step": 3}[kind]
    peers = [row for row in rows(result) if "skipped" not in row and row not in ours]
    assert len([row for row in ours if row.get("difference", 1) < 1e-4]) >= (1 if peers else 0)


@pytest.mark.slow
def test_row_wise_optimizers(run_quick):
    result = run_quick("row_wise_optimizers", "--only", "1,000 x")
    check(result)
    names = [row["contender"] for row in rows(result)]
    assert names[:3] == ["keras Adam", "keras Adagrad", "RowWiseAdagrad"]
    assert rows(result)[2]["target"]["at_least"] == 10.0


@pytest.mark.slow
def test_growing_tables(run_quick):
    result = run_quick("row_wise_optimizers", "--only", "RowWiseAdagrad, growing")
    check(result)
    assert [row["facts"]["rows"] for row in rows(result)] == [500, 1000]


@pytest.mark.slow
def test_memory_sizes(run_quick):
    result = run_quick("memory_sizes")
    check(result)
    assert [row["facts"]["slots"] for row in rows(result)] == [100, 400, 900]
    assert set(result["cases"][0]["growth"]) == {"all sizes", "√n 10 and more"}
    assert "the time grew as (√n)^" in result["notes"][0]


@pytest.mark.slow
def test_sharded_table(run_quick):
    result = run_quick("sharded_table", "--only", "x 32")
    check(result)
    one, copies, by_rows, by_sums = (row["facts"] for row in rows(result))
    assert one["MiB a device"] == copies["MiB a device"] > 1.9 * by_rows["MiB a device"]
    assert by_rows["bytes a query"] > 3 * by_sums["bytes a query"]
    assert "At d 32 rows take" in result["notes"][0]


@pytest.mark.slow
def test_largest_table(run_quick):
    result = run_quick("largest_table")
    small, large, beyond = rows(result)
    assert [row["facts"]["slots"] for row in (small, large)] == [100, 400]
    assert small["seconds"]["median"] > 0
    # Rows of 32 floats and one number of the optimizer's, on two devices.
    assert large["facts"]["GiB of rows a device"] * 2**30 == 400 / 2 * 33 * 4
    assert beyond["skipped"].startswith("would take ") and "GiB are free" in beyond["skipped"]
    assert result["notes"][0].startswith("The largest that trained has 400 slots; its variables")


@pytest.mark.slow
def test_parameter_server(root, tmp_path):
    # Not in this process: one that has run anything can not connect to a cluster any more.
    script = root / "pipelines" / "benchmarks" / "parameter_server.py"
    command = [sys.executable, str(script), "--quick", "--quiet", "--rounds", "1"]
    command += ["--output", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "parameter_server.json").read_text())
    check(result)
    alone, *clusters = rows(result)
    assert "idle %" not in alone["facts"] and len(clusters) == 4
    for row in clusters:
        facts = row["facts"]
        assert 0 < facts["idle %"] < 100 and facts["most"] <= 4
        assert min(facts["coordinator ms"], facts["worker ms"], facts["server ms"]) > 0
    assert all("times the steps a second with a second worker" in one for one in result["notes"])


@pytest.mark.parametrize("missing", [{"failed": "no port"}, {"skipped": "needs more memory"}])
def test_notes_of_parameter_servers_are_of_what_was_measured(missing, root):
    script = runpy.run_path(str(root / "pipelines" / "benchmarks" / "parameter_server.py"))
    whole = {"seconds": {"median": 2.0}, "facts": {"idle %": 9}}
    found = {"1 worker, 1 server": whole, "2 workers, 1 server": whole}
    found |= {"1 worker, rows on 2 servers": missing, "2 workers, rows on 2 servers": whole}
    benchmark = types.SimpleNamespace(notes=[])
    benchmark.note = benchmark.notes.append
    contenders = [{"contender": label, **row} for label, row in found.items()]
    script["add_notes"](benchmark, {"contenders": contenders})
    [note] = benchmark.notes
    assert note.startswith("1 server: 1.00 times the steps a second with a second worker (4.0 ")


@pytest.mark.slow
def test_models(run_quick):
    result = run_quick("models")
    check(result)
    assert {row["contender"] for row in rows(result)} == set(registry.names())
    assert rows(result)[0]["contender"] == "din"
    base, *others = [row["facts"] for row in rows(result)]
    assert base["forward ×"] == 1.0
    for facts in others:
        assert facts["forward ms"] == pytest.approx(facts["forward ×"] * base["forward ms"])


@pytest.mark.slow
def test_shared_histories(run_quick):
    result = run_quick("shared_histories")
    check(result)
    [pooling, memory] = result["cases"]
    assert [row["contender"] for row in pooling["contenders"]] == ["1 row a user", "16 rows a user"]
    assert [row["contender"] for row in memory["contenders"]] == ["din", "lmn"]
    assert memory["contenders"][1]["target"]["at_most"] == 1.5


@pytest.mark.slow
def test_tensorboard_cost(run_quick):
    result = run_quick("tensorboard_cost")
    check(result)
    alone, watched = (row["facts"] for row in rows(result))
    assert alone == {} and 0 < watched["share %"] < 100
    assert watched["points"] >= 1 and 0 < watched["ms a point"] < watched["ms the first point"]
    assert result["notes"][0].startswith(f"At most {watched['share %']:.2f} % of the time; target")


@pytest.mark.slow
def test_serving(run_quick):
    result = run_quick("serving")
    check(result)
    kept, requests, scoring = result["cases"]
    for case, forms in ((kept, ["kept"]), (requests, ["encoded", "shared", "padded"])):
        assert [row["contender"] for row in case["contenders"]] == [
            f"{name}, {form}" for form in forms for name in ("din", "lmn", "pooling")
        ]
        for row in case["contenders"]:
            facts = row["facts"]
            assert 0 < facts["p50 ms"] <= facts["p99 ms"] and facts["requests"] > 0
    assert kept["contenders"][1]["target"]["at_most"] == 1.1
    ways = [row["contender"] for row in scoring["contenders"]]
    in_cache = "score_candidates, user in the cache"
    assert ways == ["row by row", "in one call", "score_candidates", in_cache]
    assert [row["examples"] for row in scoring["contenders"]] == [6, 6, 6, 6]
    assert scoring["contenders"][2]["target"]["at_least"] == 2.0


@pytest.mark.slow
def test_server(run_quick):
    result = run_quick("server")
    assert len(rows(result)) == 2 * 5
    for row in rows(result):
        facts = row["facts"]
        assert facts["scored/s"] > 0 and 0 < facts["p50 ms"] <= facts["p99 ms"]
        assert float(facts.get("scores differ by", 0)) < 1e-6 and facts["other answers"] == 0


@pytest.mark.slow
def test_export_precision(run_quick):
    result = run_quick("export_precision")
    check(result)
    whole, half, quarter = (row["facts"] for row in rows(result))
    assert whole["MiB"] > half["MiB"] > quarter["MiB"] and whole["AUC lost"] == "0.00000"
    assert {facts["rows"] for facts in (whole, half, quarter)} == {200}


@pytest.mark.slow
def test_input(run_quick):
    result = run_quick("input")
    check(result)
    assert [row["contender"] for row in rows(result)] == [
        "train LMN",
        "train DIN",
        "BatchReader, by reference",
        "BatchReader, inline",
        "make_dataset, by reference",
        "make_dataset, inline",
    ]
    assert [row["examples"] for row in rows(result)] == [16, 16, 200, 200, 200, 200]


@pytest.mark.slow
def test_retraces(run_quick):
    result = run_quick("retraces")
    check(result)
    for row in rows(result):
        facts = row["facts"]
        assert 1 <= facts["traces, first epoch"] <= 2
        assert facts["traces, further epochs"] == 0
        assert facts["numbers of events seen"] > 1


@pytest.mark.slow
def test_step_profile(run_quick, root):
    result = run_quick("step_profile", "--before", str(root))
    check(result)
    before, now = (row["contender"] for row in rows(result))
    assert before.startswith("before") and now == "now"
    for row in rows(result):
        shares = row["facts"]
        assert sum(shares.values()) == pytest.approx(100, abs=1)
        assert shares["matrix products %"] > 1
        assert shares["top-k %"] > 0


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("memory/TopKV2_1:TopKV2#id=3#", "top-k"),
        ("memory/einsum/Einsum:_MklEinsum", "matrix products"),
        ("cond/SparseMatrixMatMul:SparseMatrixMatMul", "sparse products"),
        ("adam/mul:Mul", "element-wise and other"),
        ("CpuExecutable::ExecuteAsyncOnStream", "search compiled by XLA"),
        ("ExecutorState::Process", None),
        ("EagerLocalExecute: __inference_step_1", None),
        ("cond/then/call:StatefulPartitionedCall", None),
        ("train_step", None),
    ],
)
def test_events_that_are_kernels(event, kind, root):
    script = runpy.run_path(root / "pipelines" / "benchmarks" / "step_profile.py")
    assert script["kind_of"](event) == kind
