"""A server that does nothing, where other processes can import it."""

import time


def sleep(cluster):
    """Takes the place of serving; `cluster` is not looked at."""
    time.sleep(60)
