"""What an update of the index is made of: reading and merging it, the pushes that wait for it, turns without conditions."""
