"""What a job graph tells people: its way and time, what changed, what of it is on a mirror, as text and as pages. Pure."""
