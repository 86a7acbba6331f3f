"""Blocks over feature tokens."""
