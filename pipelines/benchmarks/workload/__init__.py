"""Data, training steps and requests of benchmarks: a click log of any size, and MovieLens 1M."""

from workload.auc import auc
from workload.click_log import spec_of, write_log
from workload.http_load import at_rate, figures, in_turn
from workload.movielens import GENRES, movielens_spec, write_for_fuxictr, write_tiny_movielens
from workload.training import compiled_model, options_of, training_steps

__all__ = [
    "GENRES",
    "at_rate",
    "auc",
    "compiled_model",
    "figures",
    "in_turn",
    "movielens_spec",
    "options_of",
    "spec_of",
    "training_steps",
    "write_for_fuxictr",
    "write_log",
    "write_tiny_movielens",
]
