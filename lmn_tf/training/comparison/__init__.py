"""Comparisons of models over seeds, and searches."""
