import math
import re

import pytest

from lmn_tf.metrics.figures import FIGURES, MONITORED, QUALITY, SLOTS, own_figures, slot_figures
from lmn_tf.metrics.memory_usage import usage_statistics
from lmn_tf.specs.schema import json_schema


def test_cells_have_the_digits_of_their_figure():
    cells = [FIGURES[name].cell(1234.56789) for name in ("logloss", "memory_kl", "examples")]
    assert cells == ["1,234.5679", "1,234.568", "1,235"]
    assert FIGURES["auc"].cell(None) == "-"


def test_headings_name_the_unit():
    assert FIGURES["slots_used"].heading == "slots used (%)"
    assert FIGURES["auc"].heading == "AUC"


def test_losses_are_better_when_smaller():
    smaller = [figure.name for figure in QUALITY if figure.smaller_is_better]
    assert smaller == ["logloss", "normalized_entropy"]


def test_specs_choose_by_the_figures_that_are_monitored():
    names = [figure.name for figure in MONITORED]
    for section in ("EarlyStopping", "Search"):
        assert json_schema()["$defs"][section]["properties"]["monitor"]["enum"] == names


def test_slots_are_described_by_statistics_that_exist():
    figures = slot_figures(usage_statistics([4, 2, 2, 0]))
    uneven = pytest.approx(0.5 * math.log(2))  # nats from even use of four slots
    assert figures == {"slots_used": 75.0, "memory_kl": uneven, "slots_for_90": 3.0}
    [percent] = re.findall(r"\d+", SLOTS[2].name)
    assert SLOTS[2].statistic == f"top{percent}"


def test_figures_of_metrics_of_users_are_in_their_order():
    results = [{"auc": 1}, {"metrics": {"b": 1.0, "a": None}}, {"metrics": {"c": 2.0, "b": 1.0}}]
    assert [figure.name for figure in own_figures(results)] == ["b", "a", "c"]
