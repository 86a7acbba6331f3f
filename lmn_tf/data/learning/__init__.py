"""Vocabularies and statistics from training data."""
