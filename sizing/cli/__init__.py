"""The verbs of `spack-farm sizing`, one module each."""
