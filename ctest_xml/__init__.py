"""Logs and measurements -> CTest XML -> CDash. A library of its own: it knows neither Spack nor the rest of spack-farm.

`scan` finds errors and warnings in a log, `model` holds what a build is, `write` turns it into CDash's documents, `check`
refuses what CDash would lose, `submit` sends. Importing this package loads none of them.
"""
