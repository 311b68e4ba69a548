# ruff: noqa: N818 (`except NotFound` reads as what it is)
"""What can go wrong, and whose failure each case is in GitLab's books.

Every message says what happened, to which object, and what to do next. Blame is an attribute of the class; only
`driver` turns it into an exit code.
"""

import enum


class Blame(enum.Enum):
    """BUILD ends the retries and is booked as the job's own failure; SYSTEM is booked as ours and is retried."""

    BUILD = "build"
    SYSTEM = "system"


class DriverError(Exception):
    """Base of all errors that the driver knows."""

    blame = Blame.SYSTEM


class SettingsError(DriverError):
    """The operator's settings file, or what the Runner hands over, is not usable."""


class RequestError(DriverError):
    """The job asks for what can never work: retrying it would only cost time."""

    blame = Blame.BUILD


class ClusterError(DriverError):
    """The API server refused a call, or there was no answer."""


class NotFound(ClusterError):
    """The object does not exist (404)."""


class Conflict(ClusterError):
    """The object exists already or has changed (409)."""


class Unauthorized(ClusterError):
    """The credentials are not, or no longer, valid (401)."""


class Forbidden(ClusterError):
    """Admission denied the object (403). The two other meanings of that status are its subclasses."""


class NotPermitted(Forbidden):
    """The driver's role does not allow the call."""


class OverQuota(Forbidden):
    """A resource quota of the namespace is used up: waiting helps."""


class Rejected(ClusterError):
    """The API server will never take this object (400, 422)."""


class Unavailable(ClusterError):
    """No answer, a broken connection, 429 or 5xx: the same call may succeed later."""


class Garbled(ClusterError):
    """More came than any answer has: whoever sends it speaks another protocol, and would do so again."""


class PodFailed(DriverError):
    """The pod never got ready; the message carries its last events."""

    def __init__(self, words: str, *, waited_seconds: int = 0) -> None:
        super().__init__(words)
        self.waited_seconds = waited_seconds
        """The budget that was used up waiting for a node; 0 if something else failed."""


class RunnerGone(DriverError):
    """GitLab Runner does not listen any more: nobody will call cleanup."""


class Terminated(BaseException):
    """The Runner sent SIGTERM: end in order, never with success."""
