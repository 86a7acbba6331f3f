"""Search of the slots of a memory by product keys."""
