"""Warm starts: weights of another run, grown to new rows."""
