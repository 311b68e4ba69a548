"""The driver's version: a constant, because reading the distribution's metadata costs half as much as all of `config`.

A test compares it with pyproject.toml.
"""

VERSION = "0.1.0"
