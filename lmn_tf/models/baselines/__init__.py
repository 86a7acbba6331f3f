"""Rows of comparisons that have no network, on NumPy and SciPy."""
