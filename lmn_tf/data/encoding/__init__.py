"""Columns of values to ids, numbers and ragged runs."""
