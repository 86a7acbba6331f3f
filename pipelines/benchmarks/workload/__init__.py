"""A click log of any size, and the training step of a model on it."""

from workload.click_log import spec_of, write_log
from workload.training import compiled_model, training_steps

__all__ = ["compiled_model", "spec_of", "training_steps", "write_log"]
