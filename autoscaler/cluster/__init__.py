"""The cluster: reading it by lists and watches, and changing it, through the official Kubernetes client."""
