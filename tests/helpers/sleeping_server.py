"""A server that does nothing, where other processes can import it."""

import time


def sleep(*arguments):
    """Takes the place of serving; the arguments are not looked at."""
    time.sleep(60)
