"""Peak memory of a process or its GPU."""

import contextlib
import re
import resource
import sys
from pathlib import Path

import tensorflow as tf


def peak_memory() -> dict[str, float]:
    """Returns peaks so far: entries of `train` in `metrics.json`.

    Returns:
        Dictionary with `peak_memory_mib`, the peak in MiB of the first GPU or else of the process,
        and `peak_rss_mib`, the peak resident memory of the process in MiB.
    """
    resident = _peak_rss_mib()
    gpu = tf.config.list_physical_devices("GPU")
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20 if gpu else resident
    return {"peak_memory_mib": peak, "peak_rss_mib": resident}


def _peak_rss_mib():
    with contextlib.suppress(OSError):
        # `getrusage` may report the peak of the parent process, from before `exec`.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        match = re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)
        if match:
            return int(match[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
