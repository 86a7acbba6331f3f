"""Evaluation, prediction and the inspection of memories."""
