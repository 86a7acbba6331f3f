"""Readers of batches of encoded columns, in the order of an epoch."""
