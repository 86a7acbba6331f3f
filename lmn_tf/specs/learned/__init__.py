"""Learned assets of a feature spec, and the folder that keeps both."""
