"""A simulated cluster for policies: the same decisions as in production, and other autoscalers beside them."""
