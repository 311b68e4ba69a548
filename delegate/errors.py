"""Errors of the delegating web server. A message names what happened, the object, what to do next; `__main__` prints it.

DelegateError
├── BadRequest    what was asked for cannot work: an option, a setting, a file, an address  -> 2
├── Refused       the worker's command refused the request                                -> 1
├── Unavailable   no gateway, no worker, or too many requests before the time was up      -> 3
├── Failed        the computation crashed, or the gateway cannot have it done             -> 4
└── TimedOut      the deadline passed                                                     -> 124
"""


class DelegateError(Exception):
    """The base of all errors of this part; `exit_code` is what the program ends with."""

    exit_code = 4


class BadRequest(DelegateError):  # noqa: N818  named for what it is, as in the other packages
    """What was asked for cannot work: an option, a setting, a file, an address."""

    exit_code = 2


class Refused(DelegateError):  # noqa: N818  named for what it is
    """The worker's command refused the request."""

    exit_code = 1


class Unavailable(DelegateError):  # noqa: N818  named for what it is
    """Nothing took the request before the time was up."""

    exit_code = 3


class Failed(DelegateError):  # noqa: N818  named for what it is
    """The computation crashed, or the gateway cannot have it done."""


class TimedOut(DelegateError):  # noqa: N818  named for what it is
    """The deadline passed."""

    exit_code = 124
