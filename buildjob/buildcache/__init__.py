"""Spack's build cache: signed binaries that any Spack installs from, and what is done with them.

`push`, `index`, `verify`, `notarize`, `prune` and `keys` are the stories, `storage` the one port to where the objects lie.
"""
