"""The control volume: how scripts go into a container and their output and exit codes come out of it.

Protocol version 1. Each container has a folder of its own in the volume, each script a folder below it:

    /.spack-farm/CONTAINER/agent             the program that the driver calls (agent.sh)
    /.spack-farm/CONTAINER/facts, peak       what the image offers; peak of the working set in bytes
    /.spack-farm/CONTAINER/alive             changes as long as a driver is there
    /.spack-farm/CONTAINER/stages/STAGE/     script, started, keeper, group, log.N, end.N, acked, counters.*, exit
    /.spack-farm/finished                    the job's last script has ended: the first processes end when told to

The driver speaks to the agent that the pod was made with, so a newer driver need only know the agent's words.
"""

import functools
from pathlib import Path

CONTROL_FOLDER = "/.spack-farm"
PROTOCOL_VERSION = 1
FACTS_BEGIN = "\nspack-farm's facts of this image:\n"
"""What a container's first process prints before the facts; `end` in a line of its own follows them."""
KNOWN_PROTOCOLS = frozenset({1})
_HERE = Path(__file__).parent

# Stages that need git and gitlab-runner, not the user's image; whatever is not named here runs in the build container.
# Source: gitlab-runner common/build_stage.go and shells/abstract.go, `Predefined`.
HELPER_STAGES = frozenset({
    "prepare_script",
    "get_sources",
    "clear_worktree",
    "restore_cache",
    "download_artifacts",
    "archive_cache",
    "archive_cache_on_failure",
    "upload_artifacts_on_success",
    "upload_artifacts_on_failure",
    "cleanup_file_variables",
})  # fmt: skip


def container_of(stage: str) -> str:
    """Return the container in which a stage's script runs."""
    return "helper" if stage in HELPER_STAGES else "build"


def is_user_script(stage: str) -> bool:
    """Tell whether the stage is what the job is about: not a helper's, and not after_script, whose failure is ignored."""
    return stage not in HELPER_STAGES and stage != "after_script"


def is_needless(stage: str) -> bool:
    """Tell whether a stage only removes what goes with the pod's volumes: needless if nothing else in the pod comes first.

    Source: gitlab-runner shells/abstract.go, `writeCleanupScript`: file variables, and what job cleanup is to remove.
    """
    return stage == "cleanup_file_variables"


def is_build_script(stage: str) -> bool:
    """Tell whether the stage is the job's `script:`, which is what an attempt's figures are about."""
    return stage in {"build_script", "step_script"}


@functools.cache
def first_process(container: str, *, orphan_after_seconds: int) -> list[str]:
    """Return the command line of a container's first process."""
    program, agent = _program("first_process.sh"), _program("agent.sh")
    return ["sh", "-c", program, "first_process", CONTROL_FOLDER, container, str(orphan_after_seconds), agent]


def agent(container: str, *words: str) -> list[str]:
    """Return the command line that calls the agent in a container."""
    return ["sh", f"{CONTROL_FOLDER}/{container}/agent", *words]


def patient_agent(container: str, *words: str, seconds: int) -> list[str]:
    """Return the command line that calls the agent of a container which may still be writing it down."""
    path = f"{CONTROL_FOLDER}/{container}/agent"
    tries = f"tries=0; until [ -r {path} ] || [ $tries -ge {seconds} ]; do tries=$((tries + 1)); sleep 1; done"
    quick = f"[ -r {path} ] || sleep 0.1 2>/dev/null; [ -r {path} ] || sleep 0.2 2>/dev/null"
    return ["sh", "-c", f'{quick}; {tries}; exec sh {path} "$@"', "agent", *words]


def end_marker(stage_folder: str) -> bytes:
    """Return the bytes that follow the last byte of a script's own output; the name holds a random part."""
    return b"\x1e" + stage_folder.encode() + b"\x1e"


def _program(name: str) -> str:
    """Return a shell program without the comment lines that only its reader here needs."""
    lines = (_HERE / name).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line and not line.lstrip().startswith("#")) + "\n"
