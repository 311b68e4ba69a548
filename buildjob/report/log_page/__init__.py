"""The page of a build log: its phases, its errors, and its lines; part of spack-farm."""
