"""Distributed training: placement of tables, collectives and clusters."""
