"""Everything that ends the agent early, in one tree.

    AgentError            what happened, which object, what to do next
    ├── RequestError      what was asked can't work                      -> exit code 2
    ├── SpackError        Spack is missing, too new, or does not start   -> exit code 3
    ├── FetchError        a dependency's binary could not be fetched     -> exit code 4
    ├── PublishError      the binary could not be signed or published    -> exit code 100
    │   └── StoreError    the mirror's storage said no, or nothing
    │       └── NotFound  Conflict  Unavailable  Unsupported    only what is handled somewhere
    ├── TimedOut          --timeout passed while no package was built    -> exit code 124
    └── Interrupted       TERM, INT or HUP came                          -> exit code 128 + n

A failed build is a value (`Outcome`), not an exception.
"""

from typing import ClassVar

from buildjob.outcome import Outcome


class AgentError(Exception):
    """The root of the tree; each class names the outcome that it means."""

    outcome: ClassVar[Outcome]


class RequestError(AgentError):
    """What was asked can't work."""

    outcome = Outcome.BAD_REQUEST


class SpackError(AgentError):
    """Spack can't be used."""

    outcome = Outcome.SPACK_UNUSABLE


class FetchError(AgentError):
    """A dependency's binary is on a mirror and could not be fetched."""

    outcome = Outcome.FETCH_FAILED


class PublishError(AgentError):
    """A binary could not be signed or published."""

    outcome = Outcome.PUBLISH_FAILED


class StoreError(PublishError):
    """The mirror's storage refused, or did not answer."""


class NotFound(StoreError):  # noqa: N818  so are they called everywhere
    """There is no such object."""


class Conflict(StoreError):  # noqa: N818
    """The condition of a write did not hold: somebody else was there first."""


class Unavailable(StoreError):  # noqa: N818
    """The storage is busy, broken for the moment, or does not answer; trying again may help."""


class Unsupported(StoreError):  # noqa: N818
    """The storage has no conditional writes."""


class TimedOut(AgentError):  # noqa: N818  it is no error of anybody's
    """The time that the user gave has passed."""

    outcome = Outcome.TIMED_OUT


class Interrupted(AgentError):  # noqa: N818  it is no error of anybody's
    """A signal asked the agent to stop."""

    outcome = Outcome.INTERRUPTED

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by signal {signal_number}")
        self.signal_number = signal_number
