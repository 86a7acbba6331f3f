"""Readers of public data sets and of plain logs."""
