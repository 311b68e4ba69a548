"""What a user types: the parsers of `spack-farm build`, `publish` and `doctor`, and their one way out."""
