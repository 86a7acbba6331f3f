"""Readers of batches of encoded columns."""
