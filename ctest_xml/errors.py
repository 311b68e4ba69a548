"""Errors of this library. A message names what happened, the object, and what to do next. Only `__main__` prints them."""


class CTestXmlError(Exception):
    """The base of all errors of this library."""


class BadInput(CTestXmlError):  # noqa: N818  named for what it is, as in the other packages
    """A file, folder or option that cannot be used."""
