"""Encoding of raw columns within the graph of an export."""
