"""The verbs of `spack-farm pipelines`; each is a module that is imported when it is called."""
