"""The story of one call of `spack-farm build`: read the request, plan, build, publish, report."""
