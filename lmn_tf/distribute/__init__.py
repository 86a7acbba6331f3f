"""One run on several devices: where tables are, and how replicas exchange what they hold."""
