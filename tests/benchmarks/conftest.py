import importlib.util
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "pipelines" / "benchmarks"
# As where a script runs by itself: `timer` and `workload` lie beside it.
sys.path.insert(0, str(FOLDER))


@pytest.fixture
def run_quick(capsys):
    """Returns a function that runs a benchmark at tiny sizes, here, and returns its figures."""

    def run(name, *arguments):
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        argv = ["--quick", "--in-process", "--rounds", "1", "--quiet", "--json", *arguments]
        assert module.main(argv) == 0
        return json.loads(capsys.readouterr().out)

    return run
