"""Damaged inputs are read or refused in one sentence: no crash, no hang, bounded memory."""

import pytest
from faults.hunt import hunt
from faults.targets import TARGETS

# What carries checksums gives what was written, or nothing.
_CHECKED = ("checkpoints", "run folder")
_MEMORY_MIB = 1_000


def check(target, cases, folder, first=0):
    tally = hunt(target, range(first, first + cases), folder)
    harmless = {"same", "refused"} if target in _CHECKED else {"same", "refused", "other"}
    assert {k: v for k, v in tally.troubles.items() if v.split(":")[0] not in harmless} == {}
    assert tally.cases == cases
    assert tally.counts["refused"] + tally.counts["same"] > 0
    assert tally.peak - tally.start_peak < _MEMORY_MIB


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("target", [name for name in TARGETS if TARGETS[name].share == 1])
def test_hundreds_of_damaged_inputs(target, tmp_path):
    check(target, 60, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_thousands_of_damaged_inputs(target, tmp_path):
    check(target, 2_000 // TARGETS[target].share, tmp_path, first=10_000)
