"""A build cache as the generator reads it: one read of its index."""
