"""Parts of users that YAML files name: the search for them, and metrics."""
