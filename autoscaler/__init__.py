"""spack-farm's autoscaler: what is known of a cluster in, what is to be done with its nodes out."""
