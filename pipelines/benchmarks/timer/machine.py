"""Processor, versions, load and memory of a benchmark."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

PACKAGES = ("lmn_tf", "tensorflow", "keras", "torch", "numpy", "pyarrow", "fuxictr")


def machine():
    """Processor, cores and operating system, as a dictionary."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    return {"processor": model, "cores": cores(), "system": platform.system()}


def cores():
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class OtherWork:
    """Share of processor time that other processes have used since its creation."""

    def __init__(self):
        self._before = _seconds()

    def share(self):
        """A number from 0 to 1, or `None` on systems without this statistic."""
        now = _seconds()
        if self._before is None or now is None:
            return None
        total, busy, own = (b - a for a, b in zip(self._before, now, strict=True))
        return min(max((busy - own) / max(total, 1e-9), 0.0), 1.0)


def _seconds():
    """Processor seconds of the machine: in all, busy, and of this process and its workers."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    ticks = [int(field) for field in fields]
    tick = os.sysconf("SC_CLK_TCK")
    total, idle = sum(ticks), ticks[3] + ticks[4]
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    return total / tick, (total - idle) / tick, own


def versions():
    """Versions of Python and of the installed packages, as a dictionary."""
    result = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            result[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if name == "lmn_tf":
                from lmn_tf.version import __version__

                result[name] = __version__
    return result


def cpu_seconds(process):
    """Processor seconds of a process, given by its id; 0 if the system has no such statistic."""
    try:
        # The name, in brackets, may contain spaces.
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib():
    """Peak memory of this process, in MiB."""
    try:
        # Not `getrusage`, by which a child starts with the peak of its parent.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        import resource

        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return size / (2**20 if sys.platform == "darwin" else 2**10)
