"""Peak memory of a process or its GPU."""

import contextlib
import re
import resource
import sys
from pathlib import Path

import tensorflow as tf


def peak_memory_mib() -> float:
    """Returns the peak memory in MiB so far, of the first GPU or else of the process."""
    if tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    return peak_rss_mib()


def peak_rss_mib() -> float:
    """Returns the peak resident memory of the process so far in MiB."""
    with contextlib.suppress(OSError):
        # `getrusage` may report the peak of the parent process, from before `exec`.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        match = re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)
        if match:
            return int(match[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
