"""The command line of spack-farm: the dispatcher, shell completion and the manual page. Imported by none of the parts."""
