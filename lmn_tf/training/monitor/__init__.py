"""Monitoring of a run: progress, TensorBoard, input pipeline."""
