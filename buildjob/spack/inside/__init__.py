"""Scripts that run in Spack's own Python, started by `spack python FILE`; they import Spack and nothing of ours."""
