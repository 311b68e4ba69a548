"""The driver of spack-farm: GitLab Runner's custom executor over Kubernetes, one sized pod per job.

Knows GitLab Runner's contract and the Kubernetes API; knows nothing of Spack, of builds or of what the scripts do.
"""
