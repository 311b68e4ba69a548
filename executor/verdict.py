"""The driver's decision on one build stage: how GitLab Runner counts it, and what the job log says. `judge` makes it."""

import enum

import msgspec


class Booking(enum.Enum):
    """How the Runner counts a build stage."""

    SUCCESS = "success"
    BUILD_FAILURE = "build failure"
    SYSTEM_FAILURE = "system failure"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The decision on one build stage."""

    booking: Booking
    exit_code: int = 0
    """For BUILD_FAILURE: the code for the Runner's exit-code file."""
    error: str = ""
    warning: str = ""
    memory_killed_at_bytes: int | None = None
    """The limit at which the build was killed, for the attempt history."""
    disk_killed_at_bytes: int | None = None
    """The disk limit that the pod exceeded, likewise."""
    lost: str = ""
    """Why the pod is gone: each later stage fails at once, with this message."""
    build_dead: str = ""
    """Why only the build container has ended: each later script of it fails at once, with this message."""
