"""Interests as they evolve: recurrent layers and their auxiliary loss."""
