"""Terms of logits that are written after training: rates, pairs, and their weights."""
