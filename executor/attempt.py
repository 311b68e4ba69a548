"""What one attempt's calls tell each other, in the attempt's private folder: prepare writes it, run and cleanup read it."""

from pathlib import Path

import msgspec

from executor.files import write_private

_FILE = "attempt.json"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """The pod of an attempt and what became of it."""

    version: int = 1
    pod: str
    namespace: str
    uid: str = ""
    backend: str = "kubernetes"
    control_protocol: int = 1
    quoting: bool = True
    """Whether the build image's shell reads `$'…'`, which the Runner's scripts use."""
    shell: str = "sh"
    image: str = ""
    node: str = ""
    cpu_request_millicores: int | None = None
    disk_request_bytes: int | None = None
    memory_request_bytes: int | None = None
    memory_limit_bytes: int | None = None
    cpu_limit_millicores: int | None = None
    disk_limit_bytes: int | None = None
    memory_record: str = ""
    """Name of the config map that tells a later attempt of a memory kill."""
    last_stages: frozenset[str] = frozenset()
    """The stages of which each is the last to need the pod, if it runs."""
    is_done: bool = False
    """Whether such a stage has ended."""
    lost: str = ""
    """Why the pod is gone; later stages fail at once with it."""
    build_dead: str = ""
    """Why the build container is gone; later scripts of it fail at once, the helper's run."""


def save_attempt(attempt: Attempt, folder: Path) -> None:
    """Keep an attempt's facts for its later calls."""
    write_private(folder / _FILE, msgspec.json.encode(attempt))


def load_attempt(folder: Path) -> Attempt | None:
    """Return the attempt's facts; None if prepare has not got so far."""
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=Attempt)
    except FileNotFoundError:
        return None
