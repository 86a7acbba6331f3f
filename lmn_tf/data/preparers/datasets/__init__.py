"""Public datasets and plain logs, one reader each."""
