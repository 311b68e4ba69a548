"""Where a build cache lies: one port, a folder and S3 behind it. Knows no Spack."""
