"""Retrieval of the events of long histories."""
