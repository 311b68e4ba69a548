"""Everything that ends the agent early, in one tree.

    AgentError            what happened, which object, what to do next
    ├── RequestError      the request can't work                         -> exit code 2
    ├── SpackError        Spack is missing, too new, or does not start   -> exit code 3
    ├── DiskFull          a file system that is written to is full         -> exit code 5
    ├── FetchError        a dependency's binary could not be fetched     -> exit code 4
    ├── PublishError      a binary could not be signed or published      -> exit code 100
    │   └── StoreError    the storage refused a request, or did not answer
    │       └── NotFound  Conflict  Unavailable  Unsupported  Denied    only what is handled somewhere
    │                                                └── NoSuchBucket
    ├── TimedOut          --timeout passed while no package was built    -> exit code 124
    └── Interrupted       TERM, INT or HUP was received                  -> exit code 128 + n

A failed build is a value (`Outcome`), not an exception.
"""

from typing import ClassVar

from buildjob.outcome import Outcome


class AgentError(Exception):
    """The root of the tree; each class names its outcome."""

    outcome: ClassVar[Outcome]


class RequestError(AgentError):
    """The request can't work."""

    outcome = Outcome.BAD_REQUEST


class SpackError(AgentError):
    """Spack can't be used."""

    outcome = Outcome.SPACK_UNUSABLE


class DiskFull(AgentError):  # noqa: N818  what happened, in the outcome's words
    """A file system that a call of the agent writes to has no room left."""

    outcome = Outcome.DISK_FULL


class FetchError(AgentError):
    """A build cache has a dependency's binary, and it could not be fetched."""

    outcome = Outcome.FETCH_FAILED


class PublishError(AgentError):
    """A binary could not be signed or published."""

    outcome = Outcome.PUBLISH_FAILED


class StoreError(PublishError):
    """The storage refused a request, or did not answer."""


class NotFound(StoreError):  # noqa: N818  the field's word
    """The object does not exist."""


class Conflict(StoreError):  # noqa: N818
    """The condition of a write did not hold: another writer was first."""


class Unavailable(StoreError):  # noqa: N818
    """The storage is busy, failing for the moment, or does not answer; a retry may help."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        """In a few words, for a line that names the server."""


class Unsupported(StoreError):  # noqa: N818
    """The storage has no conditional writes."""


class Denied(StoreError):  # noqa: N818
    """No request of this kind can succeed here: the address, the credentials or the permissions are wrong."""


class NoSuchBucket(Denied):
    """The bucket does not exist."""


class TimedOut(AgentError):  # noqa: N818  not a fault
    """The time that the user gave has passed."""

    outcome = Outcome.TIMED_OUT


class Interrupted(AgentError):  # noqa: N818  not a fault
    """A signal asked the agent to stop."""

    outcome = Outcome.INTERRUPTED

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.signal_number = signal_number
