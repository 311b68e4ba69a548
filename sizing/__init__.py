"""The sizes of spack-farm's jobs: measured builds of the past in, a table of sizes out."""
