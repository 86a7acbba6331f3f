"""`lmn-tf launch`."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import click

_STRATEGY = "distribute.strategy=parameter_server"
_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 30.0  # for the coordinator to end on its own


@click.command()
@click.argument("pipeline")
@click.option("--workers", default=2, show_default=True, help="Processes that run steps.")
@click.option("--ps", default=1, show_default=True, help="Processes that hold the model.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace one value.")
@click.option("--run-dir", help="Folder of the run. Defaults to the pipeline's.")
@click.option("--warm-start", metavar="RUN_DIR", help="As in lmn-tf train.")
@click.option("--resume", is_flag=True, help="Continue the run in the folder, if there is one.")
@click.option("--no-test", is_flag=True, help="Do not read the test set.")
@click.option("--json", "as_json", is_flag=True, help="Print the metrics as JSON.")
def launch(
    pipeline: str,
    workers: int,
    ps: int,
    settings: tuple[str, ...],
    run_dir: str | None,
    warm_start: str | None,
    resume: bool,
    no_test: bool,
    as_json: bool,
) -> int:
    """Train a pipeline on a parameter-server cluster of this machine.

    Starts workers, parameter servers and the coordinator as separate processes, trains like
    `lmn-tf train`, and ends all processes. A worker that dies, or does not respond for
    distribute.hang_seconds, is restarted. If a parameter server or the coordinator dies, the run
    ends, and --resume continues from its newest checkpoint.

    The processes only accept connections from this machine, but from all of its users and without
    a password; lmn_tf/distribute/README.md describes how to isolate them.

    \b
    Example:
      lmn-tf launch --workers 2 --ps 1 pipelines/quickstart.yaml --run-dir runs/cluster
    """
    from lmn_tf.distribute.cluster.local_servers import LocalServers
    from lmn_tf.keras_backend import require_tensorflow
    from lmn_tf.models import registry
    from lmn_tf.models.run_checks import check_run
    from lmn_tf.specs.errors import UserError
    from lmn_tf.specs.pipeline_spec import PipelineSpec
    from lmn_tf.training.own_parts import check_own_parts
    from lmn_tf.training.saving.run_directory import RunDirectory

    require_tensorflow()
    for name, count in (("--workers", workers), ("--ps", ps)):
        if count < 1:
            raise UserError(f"`{name}` must be at least 1. Received: {count}")
    settings = [*settings, *([f"run_dir={json.dumps(run_dir)}"] if run_dir else [])]
    settings += [f"warm_start.run={json.dumps(warm_start)}"] if warm_start else []
    settings.append(_STRATEGY)
    spec = PipelineSpec.load(pipeline).with_overrides(settings)
    registry.check_model(spec.model, spec.source)
    features = spec.load_feature_spec()
    spec.check_features(features)
    check_run(spec, features, spec.source)
    check_own_parts(spec, features)
    if not resume:
        RunDirectory(spec.run_dir).check_free()
    command = [sys.executable, "-m", "lmn_tf.cli.main", "train", pipeline]
    command += [part for setting in settings for part in ("--set", setting)]
    flags = (("--resume", resume), ("--no-test", no_test), ("--json", as_json))
    command += [flag for flag, is_set in flags if is_set]
    hang_seconds = spec.distribute.hang_seconds
    servers = LocalServers(workers, ps, say=_say, hang_seconds=hang_seconds)
    with _ended_by_signals(), servers:
        return _train(command, servers)


def _train(command, servers):
    """Runs the coordinator to its end; returns the exit status."""
    from lmn_tf.distribute.cluster.local_servers import die_with_parent

    for task, address in servers.cluster.tasks().items():
        _say(f"{servers.cluster.name(*task)} at {address} is process {servers.pid(*task)}.")
    chief = subprocess.Popen(
        command,
        env={**os.environ, "TF_CONFIG": servers.cluster.to_environment()},
        start_new_session=True,  # Ctrl-C goes to this process, which passes it on
        preexec_fn=die_with_parent,
    )
    _say(f"coordinator is process {chief.pid}.")
    try:
        deadline = None
        while chief.poll() is None:
            dead = servers.tend()
            if dead and deadline is None:
                _say(f"{dead} is gone: what it held is lost.")
                deadline = time.monotonic() + _PATIENCE_SECONDS
            if deadline is not None and time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
    finally:
        status = _end(chief)
    if status < 0 or deadline is not None:
        ending = f"signal {-status}" if status < 0 else f"status {status}"
        _say(f"the coordinator ended ({ending}). Continue from the newest checkpoint with")
        _say(_again(command, servers))
        return 1
    return status


def _again(command, servers):
    """Returns the command that continues the run."""
    arguments = [part for part in command[4:] if part != "--resume"]
    index = arguments.index(_STRATEGY)
    del arguments[index - 1 : index + 1]
    counts = ["--workers", len(servers.cluster.workers), "--ps", len(servers.cluster.servers)]
    return shlex.join(["lmn-tf", "launch", *map(str, counts), *arguments, "--resume"])


def _end(chief):
    """Ends the coordinator, which has some seconds to report errors; returns its status."""
    for ending, patience in ((signal.SIGINT, 10.0), (signal.SIGKILL, None)):
        if chief.poll() is None:
            chief.send_signal(ending)
            try:
                chief.wait(patience)
            except subprocess.TimeoutExpired:
                continue
    return chief.returncode


class _ended_by_signals:
    """Raises `KeyboardInterrupt` in the block on SIGTERM, so that it cleans up."""

    def __enter__(self):
        self._before = signal.signal(signal.SIGTERM, self._stop)

    def __exit__(self, *error):
        signal.signal(signal.SIGTERM, self._before)

    @staticmethod
    def _stop(number, frame):
        raise KeyboardInterrupt


def _say(text):
    click.echo(f"lmn-tf launch: {text}", err=True)
