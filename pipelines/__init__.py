"""The pipelines of spack-farm: a Spack environment or a matrix in, a job graph and GitLab's YAML out."""
