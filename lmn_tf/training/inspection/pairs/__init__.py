"""Inspection of memories of pairs: their values, and their effect on scores."""
