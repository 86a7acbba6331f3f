"""Reading, summing and merging rows of large tables."""
