"""Spack's build cache: signed binaries that any Spack installs from, and the stories told on them.

`storage` is the one port to where it lies; `push`, `index`, `verify`, `notarize`, `prune` and `keys` are the stories.
"""
