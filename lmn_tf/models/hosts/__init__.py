"""Models without a shared memory."""
