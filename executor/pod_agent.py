"""The pod agent: the program in a container, the control volume, and what the driver and `agent.c` say to each other.

Protocol version 2. The program comes into both containers by a config map, as a read-only volume (`agent_files.py`):

    /.spack-farm-agent/agent                 the program: first process, and the command that the driver calls
    /.spack-farm-agent/CONTAINER             starts the first process: a script to the kernel and to any shell

Each container has a folder of its own in the control volume, each script a folder below it:

    /.spack-farm/CONTAINER/facts, peak       what the image offers; peak of the working set in bytes
    /.spack-farm/CONTAINER/alive             changes while a driver follows a script
    /.spack-farm/CONTAINER/requests, lock    a pipe to the first process; a lock that it holds
    /.spack-farm/CONTAINER/stages/STAGE/     script, variables, started, group, log.N, end.N, acked, counters.*, exit, broken
    /.spack-farm/finished                    the job's last script has ended: the first processes end at the first TERM

The driver calls the agent that the pod was made with, so a newer driver need only know its commands and lines. Version 1 was
a shell program at /.spack-farm/CONTAINER/agent.
"""

from collections.abc import Mapping

CONTROL_FOLDER = "/.spack-farm"
AGENT_FOLDER = "/.spack-farm-agent"
PROTOCOL_VERSION = 2
KNOWN_PROTOCOLS = frozenset({1, 2})
FACTS_BEGIN = "\nspack-farm's facts of this image:\n"
"""What a container's first process prints before the facts; `end` in a line of its own follows them."""
SHELLS = ("/usr/local/bin/bash", "/usr/bin/bash", "/bin/bash", "/usr/local/bin/sh", "/usr/bin/sh", "/bin/sh", "/busybox/sh")
"""Where a shell is looked for. Source: gitlab-runner shells/bash.go, the official executor's order."""
_CGROUP = "/sys/fs/cgroup"

# The protocol in both directions. A test compares it with the text of agent.c.
COMMANDS = {
    "run": ("root", "stage", "segment", "base", "received", "size", "last"),  # start a script, follow its output
    "signal": ("root", "stage", "signal"),  # TERM or KILL to the script's process group
    "wait_facts": ("control", "seconds"),  # the facts of both containers, once they are there
}
"""The agent's commands with their arguments, in order; after those of `run` come variables, NAME=VALUE."""
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
    "signal": ("number",),  # a signal has ended the script's shell; its exit code is 128 more
    "exit": ("code",),  # the script has ended
    "broken": (),  # the log could not be written any further
    "lost": ("message",),  # the script's end cannot be known from here
    "fault": ("message",),  # the script cannot run in this container
    "beat": (),  # nothing is new
}
"""Lines that the agent writes on standard error: keyword, then fields."""
COUNTERS = ("events.", "memory.", "cpu.")
"""How the names of counters begin; after `counters` the agent writes them as NAME VALUE."""
FACTS = ("shell", "quoting", "broken", "process", "tool", "runner_version", "container", "missing", "end")
"""The keys of the lines that `wait_facts` prints."""


def first_process(container: str) -> list[str]:
    """Return the command line of a container's first process."""
    return [f"{AGENT_FOLDER}/{container}"]


def start_script(container: str, *, orphan_after_seconds: int, umask: str) -> str:
    """Return what starts a container's first process: run as a program, by `sh FILE` or by `sh -c FILE`.

    So an entrypoint may be a shell. `umask` is that of scripts, octal; `inherit` leaves it to the container.
    """
    agent = f"{AGENT_FOLDER}/agent"
    words = [CONTROL_FOLDER, container, str(orphan_after_seconds), umask, _CGROUP, ":".join(SHELLS)]
    return f"#!{agent} start\nexec {agent} first {' '.join(words)}\n"


def agent_argv(
    container: str,
    command: str,
    *,
    protocol: int = PROTOCOL_VERSION,
    variables: Mapping[str, str] | None = None,
    **arguments: object,
) -> list[str]:
    """Return the command line that calls the agent in a container, of a pod with this version of the protocol.

    A script that is started has the variables in its environment.
    """
    pairs = [f"{name}={value}" for name, value in (variables or {}).items()]
    if protocol == 1:
        words = ["sh", f"{CONTROL_FOLDER}/{container}/agent", command]
        words += [str(arguments[name]) for name in COMMANDS[command][1:] if arguments[name] != "no"]
        program = 'until [ "$1" = -- ]; do export "$1"; shift; done; shift; exec "$@"'
        return ["sh", "-c", program, "variables", *pairs, "--", *words] if pairs else words
    arguments |= {"root": f"{CONTROL_FOLDER}/{container}", "control": CONTROL_FOLDER}
    return [f"{AGENT_FOLDER}/agent", command, *(str(arguments[name]) for name in COMMANDS[command]), *pairs]


def driver_line(keyword: str, **fields: object) -> bytes:
    """Return a line for an agent that follows a script."""
    return " ".join([keyword, *(str(fields[name]) for name in DRIVER_LINES[keyword])]).encode() + b"\n"


def end_marker(stage_folder: str) -> bytes:
    """Return the bytes that follow the last byte of a script's own output; the folder's name holds a random part."""
    return b"\x1e" + stage_folder.encode() + b"\x1e"
