"""YAML files as sections of known keys, each value with its file and line."""
