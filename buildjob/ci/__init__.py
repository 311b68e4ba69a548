"""Jobs of the pipelines that `spack ci generate` writes: `spack-farm build --ci` does what `spack ci rebuild` is for."""
