"""The Runner's side of the warm process: give it the call, then become a shell that waits for the exit code.

A job makes ten calls, and each would spend most of its time on starting Python and importing. The warm process has imported
everything and forks for each call; the first call starts it, and it ends after ten minutes without one. Nothing depends on
it: without it, a call runs its verb itself. `warm_server` is the other side; `call.c` does the same as this module in a
program that starts in a tenth of the time, where one is installed.

A request is its length in eight bytes, then facts between NUL bytes: working folder, umask, the Runner's process, the number
of arguments, the arguments, the environment. With the first byte come the three standard streams.
Every call imports this module, so it uses built-in modules only: `socket` alone would double a call's cost.
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
"""The warm process's first byte: it has read the whole request and can run the verb."""
BEGIN = b"!"
"""This side's answer: from here on it passes signals on, so the verb may begin."""
PULSE = b"\n"
"""The warm process sends it every few seconds: it wakes a shell that has missed a signal."""
RUNNER_PROCESS = "SPACK_FARM_RUNNER_PROCESS"
"""Variable with the id of the Runner's process, for a verb whose parent is the warm process."""
SOCKET = "SPACK_FARM_EXECUTOR_SOCKET"
"""Variable in which `call.c`, when it has found no warm process, names the socket at which its next call will look."""
OFF = "SPACK_FARM_EXECUTOR_WARM"
"""Variable in the Runner's environment; `no` disables the warm process."""
_HOME = os.path.dirname(os.path.abspath(__file__))
_PARENT = os.path.dirname(_HOME)
_KEPT = ("PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE")
_LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")
_VERBS = (["config"], ["prepare"], ["run"], ["cleanup"])
_ACCEPT_SECONDS = 30.0
_SHELL = "/bin/sh"
_LOST_MESSAGE = "ERROR: the driver's process died in the middle of the call (it may have been killed for memory)"
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
"""What a call becomes while its verb runs, which may take hours: a shell needs a tenth of Python's memory.

A signal ends `read`. One that arrives in the instant before `read` waits is missed: the next PULSE ends that `read` instead.
One that arrives before the traps are set ends the call before its verb has begun.
"""


def call(argv: list[str]) -> None:
    """Let the warm process run a verb, and end with its exit code; return only if this process must run it."""
    if sys.platform != "linux" or os.environ.get(OFF) == "no" or argv[:1] not in _VERBS or not os.access(_SHELL, os.X_OK):
        return
    try:
        connection = _connected(_given_name() or _name())
    except OSError:
        return
    if connection is None:
        return
    if _sent(connection, argv) and _accepted(connection):
        _wait(connection)
    connection.close()  # the verb has not begun: without BEGIN the warm process gives the call up


def surroundings_of(process: int | str, environment: dict[str, str]) -> bytes:
    """Return what a process can't change for one call: a warm process serves only calls with the same surroundings."""
    with open(f"/proc/{process}/cgroup", "rb") as file:
        facts = [file.read()]
    facts += [os.fsencode(os.readlink(f"/proc/{process}/ns/{kind}")) for kind in ("mnt", "net", "pid", "user", "uts", "ipc")]
    coerced = {} if any(environment.get(key) not in {None, "", "C", "POSIX"} for key in _LOCALE) else {"LC_CTYPE": "C.UTF-8"}
    environment = environment | coerced  # as Python changes its own environment in such a locale
    facts += [os.fsencode(f"{key}={environment[key]}") for key in _KEPT if key in environment]
    return b"\0".join(facts)


def program_version() -> str:
    """Return what changes with every change of the program's files."""
    with os.scandir(_HOME) as entries:
        return str(max(entry.stat().st_mtime_ns for entry in entries if entry.name != "__pycache__"))


def _given_name() -> str:
    """Return the name that `call.c` has given, "" without one."""
    name = os.environ.pop(SOCKET, "")
    return name if name.replace("-", "").isalnum() else ""


def _name() -> str:
    """Return the name of a warm process's socket."""
    facts = [surroundings_of("self", dict(os.environ))]
    facts += [os.fsencode(text) for text in (sys.executable, sys.version, _HOME, program_version())]
    number = zlib.crc32(b"\0".join(facts))
    return f"{number:08x}"


def _connected(name: str) -> _socket.socket | None:
    """Return a connection to the warm process; None without one, or if other users can enter its folder. Raises OSError."""
    folder = f"{os.environ.get('XDG_RUNTIME_DIR') or '/tmp'}/spack-farm-executor-{os.geteuid()}"  # noqa: S108 (checked below)
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
        connection.connect(f"/proc/self/fd/{opened}/{name}")  # a socket's own path may have 107 bytes at most
    except OSError:
        connection.close()
        _start(folder, name)
        return None
    finally:
        os.close(opened)
    return connection


def _start(folder: str, name: str) -> None:
    """Start the warm process for later calls. If several calls do so at once, one process stays."""
    program = "import sys; sys.path.insert(0, sys.argv[1]); from executor.warm_server import main; main(*sys.argv[2:])"
    actions = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    command = [sys.executable, "-P", "-c", program, _PARENT, folder, name]
    kept = {key: os.environ[key] for key in _KEPT if key in os.environ}
    kept["MALLOC_ARENA_MAX"] = "1"  # an arena for each thread would cost every call memory
    os.posix_spawn(sys.executable, command, kept, file_actions=actions, setsid=True)


def _sent(connection: _socket.socket, argv: list[str]) -> bool:
    """Send the request, with this process's standard streams; return whether that succeeded."""
    umask = os.umask(0o077)
    os.umask(umask)
    facts = [os.getcwdb(), b"%d" % umask, b"%d" % os.getppid(), b"%d" % len(argv)]
    facts += [os.fsencode(argument) for argument in argv]
    facts += [key + b"=" + value for key, value in os.environb.items()]
    content = b"\0".join(facts)
    request = len(content).to_bytes(8, "big") + content
    streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
    try:
        sent = connection.sendmsg([request], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
        connection.sendall(request[sent:])
    except OSError:
        return False
    return True


def _accepted(connection: _socket.socket) -> bool:
    """Return whether the warm process has accepted the request."""
    try:
        return connection.recv(1) == ACCEPTED
    except OSError:
        return False


def _wait(connection: _socket.socket) -> None:
    """Become the shell that waits for the verb's end; the death of the process that runs the verb is a system failure.

    Returns only if the shell cannot be started.
    """
    code = os.environ.get("SYSTEM_FAILURE_EXIT_CODE", "")
    connection.setblocking(True)
    os.dup2(connection.fileno(), 9)
    failure = code if code.isascii() and code.isdigit() else "2"
    try:
        os.execve(_SHELL, ["sh", "-c", WAIT, "spack-farm", failure, _LOST_MESSAGE], {})  # noqa: S606 (no user's text is interpreted)
    except OSError:
        os.close(9)
