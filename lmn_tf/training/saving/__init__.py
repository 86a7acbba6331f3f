"""What a run leaves on the disk: checkpoints, weights and notes."""
