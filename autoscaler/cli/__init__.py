"""The verbs of `spack-farm autoscaler`, one module each."""
