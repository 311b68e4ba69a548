"""The delegating web server of spack-farm: any computation behind HTTP, done by a worker in another container."""
