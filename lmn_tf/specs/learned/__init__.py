"""What is learned for a feature spec, and the folder that keeps both."""
