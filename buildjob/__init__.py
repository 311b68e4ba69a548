"""The build agent of spack-farm: one `spack install`, measured, reported, signed and published.

Knows Spack, the kernel's counters and the build cache format; knows nothing of the driver, of Kubernetes or of GitLab's
job protocol beyond the public `CI_*` variables.
"""
