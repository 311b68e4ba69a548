"""Errors of the autoscaler. A message names what happened, the object, and what to do next. Only `__main__` prints them."""


class AutoscalerError(Exception):
    """The base of all errors of this part."""


class BadRequest(AutoscalerError):  # noqa: N818  named for what it is, as in the other packages
    """What was asked for cannot work: an option, a file."""


class SettingsError(BadRequest):
    """The settings are wrong; the message names every fault with its key."""
