"""Models with a large memory, and their control."""
