"""Memories: shared tables of slots, and the memories of one user."""
