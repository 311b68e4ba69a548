"""Where the objects of a build cache lie: one port, with a folder or S3 behind it. Knows no Spack."""
