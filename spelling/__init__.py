"""What names that spack-farm does not know may have meant: verbs, keys of settings, variables. Needs Python alone."""
