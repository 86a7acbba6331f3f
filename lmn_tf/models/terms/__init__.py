"""Terms of the logits of a click model beside those of its network, and the columns they read."""
