"""Tables whose rows are split over devices or parameter servers."""
