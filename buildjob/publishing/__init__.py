"""Part of spack-farm: signed binaries on a mirror that any Spack installs from, in a folder or in S3.

`store` is the one port to storage; `push`, `index`, `verify`, `notary`, `prune` and `keys` are stories told on it.
"""
