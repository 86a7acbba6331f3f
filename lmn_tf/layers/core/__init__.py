"""Building blocks of click models."""
