"""What all models share: the base class, the head, metrics and the memory plug-in."""
