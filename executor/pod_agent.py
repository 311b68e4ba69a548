"""The pod agent: the programs in a container, the control volume, and what the driver and `agent.sh` say to each other.

Protocol version 1. Each container has a folder of its own in the volume, each script a folder below it:

    /.spack-farm/CONTAINER/agent             the program that the driver calls (agent.sh)
    /.spack-farm/CONTAINER/facts, peak       what the image offers; peak of the working set in bytes
    /.spack-farm/CONTAINER/alive             changes while a driver follows a script
    /.spack-farm/CONTAINER/stages/STAGE/     script, started, keeper, group, log.N, end.N, acked, counters.*, exit
    /.spack-farm/finished                    the job's last script has ended: the first processes end at the first TERM

The driver calls the agent that the pod was made with, so a newer driver need only know its commands and lines.
"""

import functools
from pathlib import Path

CONTROL_FOLDER = "/.spack-farm"
PROTOCOL_VERSION = 1
KNOWN_PROTOCOLS = frozenset({1})
FACTS_BEGIN = "\nspack-farm's facts of this image:\n"
"""What a container's first process prints before the facts; `end` in a line of its own follows them."""
_HERE = Path(__file__).parent

# The protocol in both directions. A test compares it with the text of agent.sh.
COMMANDS = {
    "run": ("stage", "segment", "base", "received", "size", "last"),  # start a script or find it started; follow its output
    "signal": ("stage", "signal"),  # TERM or KILL to the script's process group
    "facts": (),  # what the image offers
    "wait_facts": ("seconds",),  # the facts of both containers, once they are there
}
"""The agent's commands with their arguments, in order; the last ones may be missing."""
DRIVER_LINES = {
    "alive": ("number",),  # any number that changes: a driver is there
    "acked": ("segment", "total"),  # all segments before this one have arrived, `total` bytes of output
}
"""Lines that the driver sends while the agent follows a script: keyword, then fields."""
AGENT_LINES = {
    "need": (),  # the script's bytes are expected on standard input
    "following": (),  # the script was started; from here on the agent reads lines
    "segment": ("segment", "total"),  # a segment is complete; it ends after `total` bytes of output
    "counters": ("section",),  # `before` or `after`: a reading of the counters begins
    "exit": ("code",),  # the script has ended
    "broken": (),  # the log could not be written any further
    "lost": ("message",),  # the script's end cannot be known from here
    "fault": ("message",),  # the script cannot run in this image
    "beat": (),  # nothing is new
}
"""Lines that the agent writes on standard error: keyword, then fields."""
COUNTERS = ("events.", "memory.", "cpu.")
"""How the names of counters begin; after `counters` the agent writes them as NAME VALUE."""
FACTS = ("shell", "quoting", "tool", "runner_version", "container", "missing", "end")
"""The keys of the lines that `facts` and `wait_facts` print."""


@functools.cache
def first_process(container: str, *, orphan_after_seconds: int) -> list[str]:
    """Return the command line of a container's first process."""
    program, agent = _program("first_process.sh"), _program("agent.sh")
    return ["sh", "-c", program, "first_process", CONTROL_FOLDER, container, str(orphan_after_seconds), agent]


def agent_argv(container: str, command: str, **arguments: object) -> list[str]:
    """Return the command line that calls the agent in a container; arguments at the end may be missing."""
    return ["sh", _path(container), *_words(command, arguments)]


def with_variables(argv: list[str], variables: dict[str, str]) -> list[str]:
    """Return a command line that runs another one with variables in its environment. It needs no program but `sh`."""
    if not variables:
        return argv
    program = 'until [ "$1" = -- ]; do export "$1"; shift; done; shift; exec "$@"'
    return ["sh", "-c", program, "variables", *(f"{name}={value}" for name, value in variables.items()), "--", *argv]


def waiting_agent_argv(container: str, command: str, *, seconds: int) -> list[str]:
    """Return the command line that calls the agent of a container whose first process may still be writing it.

    It waits for that, and the command for its own object, `seconds` each.
    """
    path = _path(container)
    quick = (
        f"[ -r {path} ] || sleep 0.1 2>/dev/null; [ -r {path} ] || sleep 0.2 2>/dev/null"  # not every sleep has fractions
    )
    slow = f"tries=0; until [ -r {path} ] || [ $tries -ge {seconds} ]; do tries=$((tries + 1)); sleep 1; done"
    return ["sh", "-c", f'{quick}; {slow}; exec sh {path} "$@"', "agent", *_words(command, {"seconds": seconds})]


def driver_line(keyword: str, **fields: object) -> bytes:
    """Return a line for an agent that follows a script."""
    return " ".join([keyword, *(str(fields[name]) for name in DRIVER_LINES[keyword])]).encode() + b"\n"


def end_marker(stage_folder: str) -> bytes:
    """Return the bytes that follow the last byte of a script's own output; the folder's name holds a random part."""
    return b"\x1e" + stage_folder.encode() + b"\x1e"


def _path(container: str) -> str:
    return f"{CONTROL_FOLDER}/{container}/agent"


def _words(command: str, arguments: dict[str, object]) -> list[str]:
    """Return a command with its arguments in the protocol's order."""
    names = COMMANDS[command][: len(arguments)]
    return [command, *(str(arguments[name]) for name in names)]


def _program(name: str) -> str:
    """Return a shell program without the comment lines, which only its reader here needs."""
    lines = (_HERE / name).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line and not line.lstrip().startswith("#")) + "\n"
