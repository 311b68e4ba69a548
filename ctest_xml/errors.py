"""Errors of this library: what happened, which object, what to do next. Only `__main__` prints them."""


class CTestXmlError(Exception):
    """Anything this library refuses or cannot do."""


class BadInput(CTestXmlError):  # noqa: N818  named for what it is, as in the other folders
    """A file, folder or option that cannot be worked with."""
