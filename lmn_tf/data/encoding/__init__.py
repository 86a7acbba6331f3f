"""Encoding of columns as ids, numbers and ragged lists."""
