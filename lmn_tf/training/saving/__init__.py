"""Files of a run: checkpoints, weights and notes."""
