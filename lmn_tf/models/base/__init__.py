"""Common parts of all models: the base class, the head, metrics and the plug-ins."""
