"""Diagnosis of a machine: versions, devices, limits and their problems."""

import functools
import importlib.metadata
import importlib.resources
import os
import platform
import resource
import shutil
import time

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from lmn_tf.keras_backend import other_backend
from lmn_tf.version import __version__


def bounds(package: str = "lmn_tf") -> dict[str, SpecifierSet]:
    """Returns the version bounds of the requirements of an installed package.

    Args:
        package: String. Defaults to `"lmn_tf"`.

    Returns:
        Dictionary from name to `packaging.specifiers.SpecifierSet`, without those of extras. Empty
        if the package is not installed.
    """
    try:
        lines = importlib.metadata.requires(package) or ()
    except importlib.metadata.PackageNotFoundError:
        return {}
    requirements = [Requirement(line) for line in lines]
    return {
        canonicalize_name(requirement.name): requirement.specifier
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    }


@functools.cache
def tested() -> dict[str, tuple[Version, Version]]:
    """Returns the versions that the tests of this release ran with.

    Returns:
        Dictionary from name to a pair of `packaging.version.Version`: the oldest and the newest.

    Example:

    >>> oldest, newest = tested()["keras"]
    >>> oldest <= newest
    True
    """
    oldest, newest = _pins("oldest"), _pins("newest")
    return {name: (oldest[name], newest[name]) for name in oldest if name in newest}


def _pins(age):
    text = importlib.resources.files("lmn_tf").joinpath(f"constraints-{age}.txt").read_text("utf-8")
    pins = [line.split("==") for line in text.splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pins}


def misfit(name: str, version: str, allowed: SpecifierSet) -> tuple[str, str] | None:
    """Returns the problem of an installed version, if there is one.

    Args:
        name: String. Name of the package.
        version: String. Installed version.
        allowed: `packaging.specifiers.SpecifierSet`.

    Returns:
        `None`, or a pair of a severity and a message: `"error"` for a version outside of `allowed`,
        `"warning"` for an allowed version that is older or newer than those tested.

    Example:

    >>> from packaging.specifiers import SpecifierSet
    >>> misfit("keras", "2.9.1", SpecifierSet(">=3.15,<3.16"))
    ('error', '`keras` must be >=3.15,<3.16. Received: 2.9.1')
    """
    if not allowed.contains(version, prereleases=True):
        bound = ",".join(sorted(map(str, allowed), reverse=True))
        return "error", f"`{name}` must be {bound}. Received: {version}"
    if name not in tested():
        return None
    oldest, newest = tested()[name]
    if oldest <= Version(Version(version).public) <= newest:
        return None
    return "warning", f"`{name}` should be {oldest} to {newest}, as tested. Received: {version}"


def diagnose() -> dict:
    """Checks versions, devices, XLA and limits.

    Returns:
        Dictionary of `versions`, `tested` (the oldest and the newest version of each package that
        this release was tested with), `devices`, `xla`, `limits` and `problems`. Each problem has
        a `severity`, `"error"` (training will not work) or `"warning"`, and a `message`. Failure to
        import TensorFlow is one of the problems.
    """
    problems: list[dict] = []
    versions = _versions(problems)
    _check_environment(problems)
    try:
        devices, xla = _tensorflow(problems)
    except Exception as error:  # Any failure is to be reported.
        _add(problems, "error", f"TensorFlow must be importable. Received: {_brief(error)}")
        devices, xla = {}, {}
    return {
        "versions": versions,
        "tested": {name: list(map(str, tested().get(name, ()))) for name in bounds()},
        "devices": devices,
        "xla": xla,
        "limits": _limits(problems),
        "problems": problems,
    }


def _versions(problems) -> dict:
    allowed = bounds()
    own_version = __version__ if allowed else f"{__version__} (not installed)"
    versions = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "lmn_tf": own_version,
    }
    if not allowed:
        _add(problems, "warning", "`lmn_tf` must be installed for its needs to be checked")
    for name, specifier in allowed.items():
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "missing"
            _add(problems, "error", f"`{name}` must be installed: pip install {name}")
            continue
        problem = misfit(name, versions[name], specifier)
        if problem is not None:
            _add(problems, *problem)
    return versions


def _check_environment(problems) -> None:
    if os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true"):
        _add(
            problems,
            "error",
            "`TF_USE_LEGACY_KERAS` must not be set: it puts Keras 2 in the place of Keras 3. "
            f"Received: TF_USE_LEGACY_KERAS={os.environ['TF_USE_LEGACY_KERAS']}",
        )
    message = other_backend()
    if message is not None:
        _add(problems, "error", message)


def _tensorflow(problems) -> tuple[dict, dict]:
    started = time.perf_counter()
    import tensorflow as tf

    seconds = time.perf_counter() - started
    if seconds > 30:
        _add(problems, "warning", f"importing TensorFlow took {seconds:.0f} s: is the disk slow?")
    gpus = tf.config.list_physical_devices("GPU")
    devices = {
        "cpu_cores": _cores(),
        "gpus": [
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in gpus
        ],
        "cuda_build": tf.test.is_built_with_cuda(),
    }
    if not gpus and devices["cuda_build"] and shutil.which("nvidia-smi"):
        _add(
            problems,
            "warning",
            "a GPU driver is here, but TensorFlow sees no GPU: pip install 'lmn_tf[gpu]'",
        )
    return devices, _xla(tf, problems)


def _xla(tf, problems) -> dict:
    @tf.function(jit_compile=True, autograph=False)
    def double(x):
        return tf.math.top_k(x * 2.0, 2).values

    started = time.perf_counter()
    try:
        works = double(tf.constant([1.0, 3.0, 2.0])).numpy().tolist() == [6.0, 4.0]
    except Exception as error:  # XLA fails in many ways; all are to be reported.
        _add(problems, "warning", f"XLA must compile a small function. Received: {_brief(error)}")
        return {"works": False}
    if not works:
        _add(problems, "error", "XLA must double numbers. Received: wrong results")
    return {
        "works": works,
        "compile_seconds": round(time.perf_counter() - started, 3),
        "flags": os.environ.get("XLA_FLAGS", "none"),
    }


def _limits(problems) -> dict:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files < 1024:
        _add(problems, "warning", f"`ulimit -n` should be 1024 or more. Received: {files}")
    free = shutil.disk_usage(".").free / 2**30
    if free < 1:
        _add(problems, "warning", f"the disk should have a GiB free. Received: {free:.2f} GiB")
    memory = _memory_gib()
    if memory is not None and memory < 2:
        _add(problems, "warning", f"memory should be 2 GiB or more. Received: {memory:.1f} GiB")
    if not os.access(".", os.W_OK):
        _add(problems, "warning", f"the current folder should be writable. Received: {os.getcwd()}")
    return {
        "memory_gib": None if memory is None else round(memory, 1),
        "open_files": files,
        "disk_free_gib": round(free, 1),
        "determinism": "train.deterministic (on by default) gives the same bits for the same seed",
    }


def _memory_gib() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        return None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"


def _add(problems: list, severity: str, message: str) -> None:
    problems.append({"severity": severity, "message": message})
