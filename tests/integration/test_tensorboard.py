"""The dashboards of TensorBoard show the runs of the quick start, in a browser.

The pictures are in the folder of the test, or in the one that the environment variable
`LMN_TF_PICTURES` names.
"""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import browser
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        browser.missing() != [], reason=f"not installed: {', '.join(browser.missing())}"
    ),
]
# What follows the `#` of the address, and what the page then shows without a click.
DASHBOARDS = {
    "timeseries": ("timeseries", ["history_memory", "key_length"]),
    "scalars": (
        "scalars&regexInput=lmn&tagFilter=memory_reads&_smoothingWeight=0",
        ["memory_reads/dead_slots", "memory_reads/slots_used", "memory_reads/slots_for_90"],
    ),
    "images": ("images&regexInput=lmn", ["memory_reads/grid", "valid/calibration_curve"]),
    "histograms": ("histograms", ["memory/key_length", "query_length", "value_length"]),
    "distributions": ("distributions", ["memory/key_length", "query_length", "value_length"]),
    "graphs": ("graphs", ["Main Graph"]),
    "pr_curves": ("pr_curves", ["valid/pr_curves", "lmn-seed1"]),
    "hparams": ("hparams", ["lmn-seed1", "model.num_keys", "test/auc"]),
    "projector": ("projector", ["3 tensors found", "history_memory", "Points: "]),
}


@pytest.fixture(scope="module")
def runs(root, tmp_path_factory):
    """The folder of the runs of the quick start's comparison."""
    folder = tmp_path_factory.mktemp("quickstart")
    for name in ("feature_specs", "pipelines"):
        (folder / name).symlink_to(root / name)
    program = [sys.executable, "-m", "lmn_tf.cli.main", "compare"]
    subprocess.run(
        [*program, "pipelines/quickstart_comparison.yaml", "--in-process"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=True,
        capture_output=True,
    )
    return folder / "runs"


@pytest.fixture(scope="module")
def address(runs):
    """The address of a TensorBoard of the runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", str(runs), "--port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stderr:
            found = re.search(r"http://\S+/", line)
            if found:
                break
        # It goes on to write, and would wait for a reader.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield found[0]
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def window():
    with browser.Browser() as opened:
        yield opened


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_shows_the_runs(name, address, window, tmp_path):
    place, words = DASHBOARDS[name]
    window.open(f"{address}#{place}")
    window.wait_for(words)
    time.sleep(3)  # animations
    folder = Path(os.environ.get("LMN_TF_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    window.picture(folder / f"{name}.png")
    assert (folder / f"{name}.png").stat().st_size > 20_000
    assert "No dashboards are active" not in window.text()
