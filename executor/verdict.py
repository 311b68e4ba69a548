"""The driver's decision on one build stage: how GitLab Runner counts it, and what the job log says. `judge` makes it."""

import enum

import msgspec


class Booking(enum.Enum):
    """How the Runner is to book a stage."""

    SUCCESS = "success"
    BUILD_FAILURE = "build failure"
    SYSTEM_FAILURE = "system failure"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The decision on one stage."""

    booking: Booking
    exit_code: int = 0
    """For BUILD_FAILURE: what goes into the exit-code file."""
    error: str = ""
    warning: str = ""
    memory_killed_at_bytes: int | None = None
    """The limit at which the build was killed: recorded for the job's next attempt."""
    disk_killed_at_bytes: int | None = None
    """The disk limit that the pod has passed: recorded likewise."""
    lost: str = ""
    """Set if the pod is gone: later stages fail at once with it."""
    build_dead: str = ""
    """Set if only the build container is gone: later scripts of it fail at once with it."""
