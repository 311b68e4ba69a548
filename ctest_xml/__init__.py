"""Logs and measurements -> CTest XML -> CDash. A library of its own: it knows neither Spack nor the rest of spack-farm.

`scan` finds errors and warnings in a log, `model` describes a build, `write` makes CDash's documents of it, `check` finds
what CDash would lose in them, `submit` sends them. Importing this package loads none of these.
"""
