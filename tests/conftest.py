"""Fixtures shared by every test."""

import collections
import functools
import gc
import importlib.util
import os
import random
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest

# Examples are the same in every run, and how fast the machine is fails none.
hypothesis.settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("repeatable")

# TensorFlow reads this at import; without it every process opens with a page of notes.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# As well: tests compile many small programs with XLA and run each a few times.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

# Python would look for garbage each 700 new objects, and a traced function is many thousands.
gc.set_threshold(200_000, 20, 20)

ROOT = Path(__file__).resolve().parent.parent

# The name of the test that calls `check_layer`.
GOOD_LAYER = "test_is_a_good_layer"

# Folders of many short files, last: at the end, a long file would leave a core idle.
SHORTEST = ("data", "specs")

# Where tests find what they share, as in `from check_layer import check_layer`.
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

import environment  # noqa: E402


def pytest_addoption(parser):
    parser.addoption(
        "--versions",
        choices=environment.AGES,
        help="run only where exactly these supported versions of other packages are installed",
    )
    parser.addoption(
        "--optimized",
        action="store_true",
        help="let TensorFlow optimize what tests trace, as it does for users: takes a third longer",
    )


def pytest_configure(config):
    """Sets what the processes of the run have in common, and those that tests start."""
    if not config.getoption("optimized"):
        # For each function that is traced, oneDNN looks through all kernels.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
        # What is written outlives a process that is killed; disks take long to outlive the power.
        os.fsync = lambda descriptor: None
    if "LMN_TF_TESTS" not in os.environ:
        # The folder of `tiny_run.made_once`.
        os.environ["LMN_TF_TESTS"] = tempfile.mkdtemp(prefix="lmn_tf_tests_")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop("LMN_TF_TESTS"), True))


def pytest_sessionstart(session):
    """Ends a run in an environment with other packages than those it would speak for."""
    age = session.config.getoption("versions")
    wrong = environment.misfits(environment.installed(environment.requirements()), age)
    if wrong:
        raise pytest.UsageError(f"{sys.executable} has other packages: {'; '.join(wrong)}")


def pytest_report_header(config):
    found = environment.installed(environment.requirements())
    ages = [age for age in environment.AGES if not environment.misfits(found, age)]
    place = importlib.util.find_spec("lmn_tf").origin
    return f"lmn_tf: {place}, with {' and '.join(ages) or 'other supported'} versions"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Leaves what repeats a check of the quick tests to the slow ones.

    A layer is checked in one configuration: XLA, training, saving, mixed precision and two replicas
    cost seconds each. Of the modes of `run_mode`, all cases run eagerly, and the first one compiled
    by XLA, which traces it as a graph does: the kernels of graphs are the eager ones. Where a layer
    is checked, which compiles it and its gradient, others do not. Of a test marked
    `quick_cases(count)`, so many cases run. The shortest files come last.
    """
    checked, cases = set(), collections.Counter()
    for item in items:
        marker = item.get_closest_marker("quick_cases")
        if marker is not None:
            cases[item.path, item.originalname] += 1
            if cases[item.path, item.originalname] > marker.args[0]:
                item.add_marker(pytest.mark.slow)
        if getattr(item, "originalname", "") == GOOD_LAYER:
            if item.path in checked:
                item.add_marker(pytest.mark.slow)
            elif item.get_closest_marker("slow") is None:
                checked.add(item.path)
    compiled = set()
    for item in items:
        mode = item.callspec.params.get("run_mode") if hasattr(item, "callspec") else None
        if mode is not None and mode != "eager":
            key = item.path, item.originalname
            if mode == "graph" or item.path in checked or key in compiled:
                item.add_marker(pytest.mark.slow)
            elif item.get_closest_marker("slow") is None:
                compiled.add(key)
    items.sort(key=lambda item: item.path.relative_to(ROOT).parts[1] in SHORTEST)


def pytest_collection_finish(session):
    """Splits the CPU into four logical devices, so that replicas are tested on any machine.

    Runs after collection: tests that never import TensorFlow stay fast.
    """
    if "tensorflow" not in sys.modules:
        return
    import tensorflow as tf

    if not session.config.getoption("optimized"):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        keep_kernels()

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 4,
    )


def keep_kernels():
    """Lets TensorFlow make the kernel of an eager operation once in the whole run.

    It makes one as if it were a function, which takes half a millisecond. `set_random_seed` and
    `clear_session` of Keras discard them all, for the sake of random operations with a state in
    their kernels; those are used nowhere: `tests/test_house_rules.py`. And each new name of a
    variable would need a kernel of its own, though only messages show it.
    """
    from tensorflow.python import pywrap_tfe
    from tensorflow.python.ops import gen_resource_variable_ops as resources

    create = resources.var_handle_op
    pywrap_tfe.TFE_ContextClearCaches = lambda context: None
    resources.var_handle_op = lambda *args, **options: create(
        *args, **{**options, "debug_name": ""}
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Begins each test with the same random state, whichever tests its process ran before.

    Keras and tf-keras draw the seeds of layers that are given none from that of Python.
    """
    random.seed(0)


@pytest.fixture(scope="module", autouse=True)
def frozen_heap():
    """Spares the garbage collector what earlier files left behind for good.

    Traced functions are millions of objects, which it would look through again and again.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def separate_collectives():
    """Gives the strategies of each test collectives of their own.

    TensorFlow numbers them by strategy, from the same start: the second strategy of a process would
    meet the shapes of the first one's.
    """
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        tf.distribute.MirroredStrategy._collective_key_base += 10


@pytest.fixture(autouse=True)
def free_ops():
    """Ends what `train.deterministic` began for the process: other tests prefetch and use XLA."""
    yield
    if "tensorflow" in sys.modules:
        from tensorflow.python.framework import config

        config.disable_op_determinism()


@pytest.fixture(params=["eager", "graph", "xla"])
def run_mode(request):
    """Runs a function the three ways users can reach it.

    Without AutoGraph, as in Keras: ops must not need it, and it takes longer than tracing.
    """
    if request.param == "eager":
        return lambda function: function
    import tensorflow as tf

    return functools.partial(tf.function, jit_compile=request.param == "xla", autograph=False)


@pytest.fixture
def own_address():
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.connect(("192.0.2.1", 9))  # This sends nothing.
        except OSError:
            pytest.skip("this machine has a loopback address alone")
        return one.getsockname()[0]


@pytest.fixture(scope="session")
def root():
    """The repository's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir():
    """The folder of real data sets: `LMN_TF_DATA`, else `../shared/data`. Skips when absent."""
    folder = Path(os.environ.get("LMN_TF_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set LMN_TF_DATA to the folder that holds it")
    return folder
