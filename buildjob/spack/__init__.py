"""All that knows Spack: its command line, its files and its wording. `inside/` runs in Spack's own Python."""
