"""The Runner's side of the warm process: hand a verb over to it, then be a shell that waits for its exit code.

Ten calls a job would spend most of their time on starting Python and importing. So a process that has imported
everything waits for calls, and forks for each; it starts with the first call and ends when none has come for a while. Where
there is none, the caller runs the verb itself: nothing depends on it. `warm_server` is the other side.

This module is imported by every call: it gets by with what Python has built in (`socket` alone would double a call's cost).
"""

import _socket
import os
import sys
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # `signal` is this and enums

ACCEPTED = b"+"
"""The other side's first byte: it has read the whole request and can run the verb."""
BEGIN = b"!"
"""This side's answer: from here on it passes signals on, so that the verb may begin."""
PULSE = b"\n"
"""What the other side sends now and then, so that a signal which the shell has missed is not missed for long."""
RUNNER_PROCESS = "SPACK_FARM_RUNNER_PROCESS"
"""Variable that tells a verb which process has called, where that is not its parent."""
OFF = "SPACK_FARM_EXECUTOR_WARM"
"""Variable of the Runner's process that switches all this off with `no`."""
_HOME = os.path.dirname(os.path.abspath(__file__))
_PARENT = os.path.dirname(_HOME)
_KEPT = ("PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE")
_VERBS = (["config"], ["prepare"], ["run"], ["cleanup"])
_ACCEPT_SECONDS = 30.0
_SHELL = "/bin/sh"
_LOST_WORDS = "ERROR: the driver's process died in the middle of the stage (killed for memory, perhaps)"
WAIT = f"""
trap '' PIPE
trap 'signaled=1; printf "\\{signal.SIGTERM:03o}" 2>/dev/null >&9' TERM
trap 'signaled=1; printf "\\{signal.SIGINT:03o}" 2>/dev/null >&9' INT
printf "{BEGIN.decode()}" 2>/dev/null >&9
code=
while [ -z "$code" ]; do
  read -r code <&9 || {{ [ -n "$signaled" ] || {{ printf '%s\\n' "$2" >&2; exit "$1"; }}; signaled= code=; }}
done
exit "$code"
"""
"""A call waits as long as its verb runs, for hours: as a shell it needs a tenth of Python's memory.

A signal ends `read`, unless it comes in the instant before `read` waits: then the next empty line does. One that comes
before the traps are set ends the call, and nothing has happened.
"""


def call(words: list[str]) -> None:
    """Have a verb run by the warm process, and end with its exit code; return only if it is to be run here."""
    if sys.platform != "linux" or os.environ.get(OFF) == "no" or words[:1] not in _VERBS or not os.access(_SHELL, os.X_OK):
        return
    try:
        surroundings = surroundings_of_this_process()
        connection = _connected(name_of(surroundings, words[0]))
    except OSError:
        return
    if connection is None:
        return
    if _sent(connection, surroundings, words) and _accepted(connection):
        _wait(connection)
    connection.close()  # nothing has begun yet


def surroundings_of_this_process() -> bytes:
    """Return what a process can't change for one call: a warm process serves only calls that agree in all of this."""
    with open("/proc/self/cgroup", "rb") as file:
        facts = [file.read()]
    facts += [os.fsencode(os.readlink(f"/proc/self/ns/{kind}")) for kind in ("mnt", "net", "pid", "user", "uts", "ipc")]
    with os.scandir(_HOME) as entries:
        newest = max(entry.stat().st_mtime_ns for entry in entries if entry.name != "__pycache__")
    facts += [os.fsencode(word) for word in (sys.executable, sys.version, _HOME, str(newest), str(os.geteuid()))]
    return b"\0".join([*facts, *(os.fsencode(f"{key}={value}") for key, value in _kept().items())])


def name_of(surroundings: bytes, verb: str) -> str:
    """Return the name of a warm process's socket; `prepare` has one of its own, because it needs much more."""
    return f"{zlib.crc32(surroundings):08x}-{'prepare' if verb == 'prepare' else 'all'}"


def _kept() -> dict[str, str]:
    return {key: os.environ[key] for key in _KEPT if key in os.environ}


def _connected(name: str) -> _socket.socket | None:
    """Return a connection to a warm process; None if there was none, or its folder is somebody else's. Raises OSError."""
    folder = f"{os.environ.get('XDG_RUNTIME_DIR') or '/tmp'}/spack-farm-executor-{os.geteuid()}"  # noqa: S108 (looked at)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    opened = os.open(folder, os.O_DIRECTORY | os.O_NOFOLLOW)
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        found = os.fstat(opened)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            return None
        connection.settimeout(_ACCEPT_SECONDS)
        connection.connect(f"/proc/self/fd/{opened}/{name}")  # a socket's own path has 107 bytes at most
    except OSError:
        connection.close()
        _start(folder, name)
        return None
    finally:
        os.close(opened)
    return connection


def _start(folder: str, name: str) -> None:
    """Start the warm process for later calls. Of several at once, all but one end by themselves."""
    program = "import sys; sys.path.insert(0, sys.argv[1]); from executor.warm_server import main; main(*sys.argv[2:])"
    actions = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    command = [sys.executable, "-P", "-c", program, _PARENT, folder, name]
    os.posix_spawn(sys.executable, command, _kept(), file_actions=actions, setsid=True)


def _sent(connection: _socket.socket, surroundings: bytes, words: list[str]) -> bool:
    """Send the request, with this process's standard streams; tell whether that went well."""
    umask = os.umask(0o077)
    os.umask(umask)
    facts = [os.getcwdb(), b"%d" % umask, b"%d" % os.getppid(), b"%d" % len(words)]
    facts += [os.fsencode(word) for word in words]
    facts += [key + b"=" + value for key, value in os.environb.items()]
    request = b"".join(len(part).to_bytes(8, "big") + part for part in (surroundings, b"\0".join(facts)))
    streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
    try:
        sent = connection.sendmsg([request], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
        connection.sendall(request[sent:])
    except OSError:
        return False
    return True


def _accepted(connection: _socket.socket) -> bool:
    """Tell whether the other side has taken the request."""
    try:
        return connection.recv(1) == ACCEPTED
    except OSError:
        return False


def _wait(connection: _socket.socket) -> None:
    """Become the shell that waits for the verb's end; the death of the process that runs it is a system failure.

    Returns only if it can't become one.
    """
    code = os.environ.get("SYSTEM_FAILURE_EXIT_CODE", "")
    connection.setblocking(True)
    os.dup2(connection.fileno(), 9)
    failure = code if code.isascii() and code.isdigit() else "2"
    try:
        os.execve(_SHELL, ["sh", "-c", WAIT, "spack-farm", failure, _LOST_WORDS], {})  # noqa: S606 (nothing is interpreted)
    except OSError:
        os.close(9)
