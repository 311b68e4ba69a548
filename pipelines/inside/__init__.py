"""Runs in Spack's own Python, from 3.6 on: it imports the standard library and Spack, and nothing of ours but itself."""
