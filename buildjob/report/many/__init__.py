"""Many builds: one page of them, what changed since earlier ones, and where a pipeline's time went; part of spack-farm."""
