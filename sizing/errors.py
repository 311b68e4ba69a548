"""Errors of sizing. A message names what happened, the object, and what to do next. Only `cli` prints them."""


class SizingError(Exception):
    """The base of all errors of this part."""


class BadRequest(SizingError):  # noqa: N818  named for what it is, as in the other packages
    """What was asked for cannot work: an option, a place, a file."""


class HistoryError(SizingError):
    """The history cannot be opened, read or written."""


class SourceError(SizingError):
    """A place that documents are read from does not answer, or denies access."""


class NotAccepted(SizingError):  # noqa: N818  named for what it is, as in the other packages
    """A new table changes too much to be written without a person's word."""


class TooLarge(SizingError):  # noqa: N818  named for what it is, as in the other packages
    """A new table does not fit where it is to be written."""


class Overtaken(SizingError):  # noqa: N818  named for what it is, as in the other packages
    """Another writer has replaced the table meanwhile."""
