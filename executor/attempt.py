"""What an attempt's calls leave for each other in its private folder: prepare writes it, run and cleanup read it."""

from pathlib import Path

import msgspec

from executor.files import write_private
from executor.sizes import Size

_FILE = "attempt.json"


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of the pod in earlier build stages."""

    is_done: bool = False
    """Whether one of the last stages has ended."""
    lost: str = ""
    """Why the pod is gone: each later stage fails at once, with this message."""
    build_dead: str = ""
    """Why the build container has ended: each later script of it fails at once, the helper's still run."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """The pod of an attempt: how to reach it, what it has, and what has become of it."""

    version: int = 1
    backend: str = "kubernetes"
    namespace: str
    pod: str
    """Its name."""
    uid: str = ""
    """"" until the pod is ready."""
    node: str = ""
    control_protocol: int = 1
    """The version of the protocol that the pod's agent speaks."""
    image: str = ""
    """Of the build container, as the job names it."""
    image_digest: str = ""
    """What the node has pulled for it, `REPOSITORY@sha256:…`; "" where the node does not say."""
    shell: str = "sh"
    """The shell of the build image that runs scripts."""
    quoting: bool = True
    """Whether that shell reads `$'…'`, which the Runner's scripts use."""
    first_process: int = 1
    """The process id of the driver's first process in the build container: not 1 if an entrypoint has kept that place."""
    size: Size = Size()
    """Of the build container."""
    build_jobs: int | None = None
    """Parallel jobs that the size is for; None if the size table says nothing."""
    ladder_memory_bytes: list[int] = []
    """Memory limits that the size table holds ready for further attempts."""
    number: int = 0
    """Of the attempt within the history, from 1; 0 is unknown."""
    history: str = msgspec.field(default="", name="memory_record")
    """Name of the config map with the job's attempt history; "" where there is none."""
    secret: str = ""
    """Name of the pull secret while no pod owns it; "" once it is deleted with the pod, or where there is none."""
    last_stages: frozenset[str] = frozenset()
    """The stages of which each is the last to need the pod, if it runs."""
    fate: Fate = Fate()


def script_variables(attempt: Attempt) -> dict[str, str]:
    """Return what scripts of the build container find in their environment: what only the driver knows of the attempt."""
    size = attempt.size
    known = {
        "SPACK_FARM_IMAGE_DIGEST": attempt.image_digest,
        "SPACK_FARM_JOB_ATTEMPT": attempt.number,
        "SPACK_FARM_ASKED_CPU_MILLICORES": size.cpu_request_millicores,
        "SPACK_FARM_ASKED_MEMORY_BYTES": size.memory_request_bytes,
        "SPACK_FARM_ASKED_MEMORY_LIMIT_BYTES": size.memory_limit_bytes,
        "SPACK_FARM_ASKED_DISK_BYTES": size.disk_request_bytes,
        "SPACK_BUILD_JOBS": attempt.build_jobs,  # the job's own comes later, with the Runner's script, and wins
    }
    return {name: str(value) for name, value in known.items() if value}


def save_attempt(attempt: Attempt, folder: Path) -> None:
    """Keep an attempt for its later calls, by rename.

    The keys of size and fate are top-level keys of the file, as they were when an attempt had no parts: another version of
    the driver may go on with the job.
    """
    document = msgspec.to_builtins(attempt)
    parts = document.pop("size"), document.pop("fate")
    write_private(folder / _FILE, msgspec.json.encode(document | parts[0] | parts[1]))


def load_attempt(folder: Path) -> Attempt | None:
    """Return the attempt; None if prepare has not got as far as to keep one."""
    try:
        content = (folder / _FILE).read_bytes()
    except FileNotFoundError:
        return None
    return decoded(content)


def decoded(content: bytes) -> Attempt:
    """Return what `save_attempt` has written."""
    document = msgspec.json.decode(content, type=dict[str, object])
    return msgspec.convert(document | {"size": document, "fate": document}, Attempt)
