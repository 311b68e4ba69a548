# ruff: noqa: N818 (`except NotFound` reads well)
"""What can fail, and whose failure GitLab counts it as.

Every message says what happened, to which object, and what to do next. Blame is an attribute of the class; only
`driver` turns it into an exit code.
"""

import enum


class Blame(enum.Enum):
    """BUILD counts as the job's own failure and ends the retries; SYSTEM counts as a system failure and is retried."""

    BUILD = "build"
    SYSTEM = "system"


class DriverError(Exception):
    """Base of all errors that the driver raises on purpose."""

    blame = Blame.SYSTEM
    pull_of = ""
    """The container whose image could not be pulled, if that is what failed."""


class SettingsError(DriverError):
    """The operator's settings file, or what the Runner gives, is not usable."""


class RequestError(DriverError):
    """The job's request can never work: a retry would only cost time."""

    blame = Blame.BUILD


class ClusterError(DriverError):
    """The API server refused a call, or did not answer."""

    def __init__(self, message: str, *, said: str = "", fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.said = said or message
        """The server's own message."""
        self.fields = fields
        """The object's fields that it objects to, as paths; empty if it names none."""


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
    """An answer larger than any: the sender speaks another protocol, and would do so again."""


class PodFailed(DriverError):
    """The pod did not become ready; the message has its last events."""

    def __init__(self, message: str, *, waited_seconds: int = 0) -> None:
        super().__init__(message)
        self.waited_seconds = waited_seconds
        """The budget that was used up while no node had room; 0 if something else failed."""


class RunnerGone(DriverError):
    """GitLab Runner has died: there will be no cleanup call."""


class Terminated(BaseException):
    """The Runner sent TERM: the call ends in order, never with success."""
