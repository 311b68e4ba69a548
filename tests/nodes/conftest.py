"""Tests of the autoscaler on a real API server with simulated nodes (tests/labs/nodes/plugin.py)."""
