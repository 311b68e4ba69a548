"""A Kubernetes cluster for tests: an API server on loopback that speaks the real protocol; pods are folders here."""
