"""Inspection of memories: readers of slots, and their effect on scores."""
