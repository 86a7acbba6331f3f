"""Faults of the processes of a run on parameter servers: what is lost, and what is told."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from launched import ROOT, Launched
from tiny_run import write_pipeline

from lmn_tf.distribute.cluster.cluster import Cluster, free_ports

DNN = ["--set", "model={name: dnn, hidden_units: [8]}"]
EPOCHS = 40
EXAMPLES = EPOCHS * 2389

pytestmark = pytest.mark.slow


@pytest.fixture
def pipeline(tmp_path):
    settings = {"epochs": EPOCHS, "checkpoint_steps": 15}
    return str(write_pipeline(tmp_path / "pipeline.yaml", tmp_path / "run", **settings))


def checkpoints(folder):
    paths = (folder / "run" / "checkpoints").glob("step-*")
    return sorted(int(path.name[5:].partition(".")[0]) for path in paths)


def finished(folder):
    """The figures of training, after checking that each row of each epoch counted once."""
    train = json.loads((folder / "run" / "metrics.json").read_text())["train"]
    assert train["steps"] == 10 * EPOCHS and train["examples"] == EXAMPLES
    return train


def resume(pipeline, folder, *options):
    """Continues a run to its end; returns the step at which it went on."""
    with Launched(pipeline, *DNN, "--resume", *options) as run:
        step = int(run.wait_for(r"Continuing at step (\d+) of")[1])
        assert run.wait() == 0, run.text()
        assert run.alive() == []
    finished(folder)
    return step


def test_a_lost_server_ends_the_run_and_resume_goes_on(pipeline, tmp_path):
    with Launched(pipeline, *DNN, "--ps", 2) as run:
        run.wait_for("epoch 3/")
        run.kill("parameter server 1")
        run.wait_for(r"parameter server 1 \(signal 9\) is gone")
        assert run.wait(90) == 1
        assert run.alive() == []
        assert "Parameter server 1 at 127.0.0.1:" in run.text(), run.text()
        assert "Traceback" not in run.text()
        assert run.lines[-1].startswith("lmn-tf launch: lmn-tf launch --workers 2 --ps 2")
        assert run.lines[-1].endswith("--resume")
    newest = checkpoints(tmp_path)[-1]
    assert newest >= 30
    # On another number of servers: checkpoints know of none.
    assert resume(pipeline, tmp_path, "--ps", 3) == newest


def test_a_lost_coordinator_loses_the_steps_since_the_checkpoint(pipeline, tmp_path):
    with Launched(pipeline, *DNN) as run:
        run.wait_for("epoch 3/")
        run.kill("coordinator")
        assert run.wait(60) == 1
        assert run.alive() == []
        assert "the coordinator ended (signal 9). Continue from the newest" in run.text()
    newest = checkpoints(tmp_path)[-1]
    assert newest >= 30
    assert resume(pipeline, tmp_path) == newest


def test_a_lost_launcher_leaves_nothing_behind(pipeline):
    with Launched(pipeline, *DNN) as run:
        run.wait_for("epoch 2/")
        run.process.kill()
        run.process.wait()
        assert wait_until(lambda: run.alive() == [])


def test_a_hung_worker_is_started_again(pipeline, tmp_path):
    with Launched(pipeline, *DNN, "--set", "distribute.hang_seconds=4") as run:
        run.wait_for("epoch 2/")
        hung = run.pids()["worker 1"]
        run.kill("worker 1", signal.SIGSTOP)
        run.wait_for(r"worker 1 has not answered for 4 s: ended\.")
        run.wait_for(r"worker 1 ended \(signal 9\): started again")
        assert run.wait() == 0, run.text()
        assert run.pids()["worker 1"] != hung and run.alive() == []
        assert "worker 0 has not answered" not in run.text()
    finished(tmp_path)


@pytest.fixture
def start(pipeline):
    """Starts the roles of one cluster, each by its own command, as on several machines."""
    ports = [f"127.0.0.1:{port}" for port in free_ports(4)]
    cluster = Cluster(tuple(ports[:2]), tuple(ports[2:3]), ports[3])
    settings = [*DNN, "--set", "distribute.strategy=parameter_server", "--resume"]

    def one(role, index=0):
        task = Cluster(cluster.workers, cluster.servers, cluster.chief, role, index)
        environment = {"TF_CONFIG": task.to_environment()}
        started = Launched(pipeline, *settings, command="train", environment=environment)
        if role != "chief":
            started.wait_for(f"{task.name()} serves at {task.address()}")
        return started

    return one


def test_a_worker_that_stays_away_is_done_without(start, tmp_path):
    with start("ps"), start("worker") as one, start("worker", 1), start("chief") as chief:
        chief.wait_for("epoch 2/")
        one.process.kill()
        assert chief.wait() == 0, chief.text()
    finished(tmp_path)


def test_a_coordinator_and_a_server_that_come_back_find_the_others(start, tmp_path):
    with start("worker"), start("worker", 1):
        with start("ps") as server:
            with start("chief") as chief:
                chief.wait_for("epoch 2/")
                chief.process.kill()
            newest = checkpoints(tmp_path)[-1]
            with start("chief") as chief:
                assert int(chief.wait_for(r"Continuing at step (\d+) of")[1]) == newest
                chief.wait_for("epoch 4/")
                server.process.kill()
                assert chief.wait() == 1, chief.text()
                assert "Parameter server 0 at" in chief.text()
        with start("ps"), start("chief") as chief:
            assert chief.wait() == 0, chief.text()
    finished(tmp_path)


def test_missing_servers_are_named():
    ports = [f"127.0.0.1:{port}" for port in free_ports(2)]
    config = Cluster((ports[0],), (ports[1],)).to_environment()
    done = subprocess.run(
        [sys.executable, "-c", CONNECT, config], capture_output=True, text=True, timeout=120
    )
    missing = f"no answer from worker 0 at {ports[0]}, parameter server 0 at {ports[1]}. Start"
    assert missing in done.stderr


CONNECT = """
import sys
from lmn_tf.distribute.cluster.cluster import Cluster, connect
connect(Cluster.from_environment({"TF_CONFIG": sys.argv[1]}), wait=1.0)
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a small file system")
def test_a_full_disk_is_told_and_the_checkpoint_stays(pipeline, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    script = tmp_path / "full.sh"
    script.write_text(
        f"mount -t tmpfs -o size=92k none {folder} || exit 77\n"
        f'"$@"; echo "status $?"; cp -r {folder} {tmp_path}/copy\n'
    )
    command = [sys.executable, "-m", "lmn_tf.cli.main", "train", pipeline, *DNN, "--resume"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    options = {"capture_output": True, "text": True, "timeout": 300, "env": environment}
    done = subprocess.run(["unshare", "-m", "sh", str(script), *command], **options)
    if done.returncode == 77:
        pytest.skip("may not mount")
    assert (
        "`run_dir` must have room and stay writable" in done.stderr
        and "Traceback" not in done.stderr
    )
    assert "No space left on device" in done.stderr and "status 2" in done.stdout
    # The last good checkpoint is whole, and with more room the run goes on.
    shutil.move(tmp_path / "copy", tmp_path / "run2")
    done = subprocess.run([*command, "--run-dir", str(tmp_path / "run2")], **options)
    assert done.returncode == 0 and "Continuing at step " in done.stderr, done.stderr


def wait_until(condition, seconds=30):
    import time

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.1)
    return False
