"""The Runner's side of the warm process: hand a verb over to it, pass signals on, return its exit code.

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
"""The other side's first byte: it has read the whole request, and the verb is now its business."""
RUNNER_PROCESS = "SPACK_FARM_RUNNER_PROCESS"
"""Variable that tells a verb which process has called, where that is not its parent."""
OFF = "SPACK_FARM_EXECUTOR_WARM"
"""Variable of the Runner's process that switches all this off with `no`."""
_HOME = os.path.dirname(os.path.abspath(__file__))
_PARENT = os.path.dirname(_HOME)
_KEPT = ("PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE")
_VERBS = (["config"], ["prepare"], ["run"], ["cleanup"])
_ACCEPT_SECONDS = 30.0
_PASSED_ON = (signal.SIGTERM, signal.SIGINT)
_LOST_WORDS = b"ERROR: the driver's process died in the middle of the stage (killed for memory, perhaps)\n"


def call(words: list[str]) -> int | None:
    """Have a verb run by the warm process and return its exit code; None if it is to be run here."""
    if sys.platform != "linux" or os.environ.get(OFF) == "no" or words[:1] not in _VERBS:
        return None
    try:
        surroundings = surroundings_of_this_process()
        connection = _connected(name_of(surroundings, words[0]))
    except OSError:
        return None
    if connection is None:
        return None
    try:
        if not _sent(connection, surroundings, words):
            return None
        passed: list[int] = []

        def pass_on(number: int, _: object) -> None:
            passed.append(number)
            _send_signal(connection, number)

        former = [signal.signal(number, pass_on) for number in _PASSED_ON]
        try:
            if _accepted(connection):
                return _exit_code(connection)
        finally:
            for known, handler in zip(_PASSED_ON, former, strict=True):
                signal.signal(known, handler)
        for number in passed:
            os.kill(os.getpid(), number)
    finally:
        connection.close()
    return None


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
    """Tell whether the other side has taken the request. Until then nothing has happened."""
    try:
        accepted = connection.recv(1) == ACCEPTED
    except OSError:
        return False
    connection.settimeout(None)
    return accepted


def _send_signal(connection: _socket.socket, number: int) -> None:
    try:
        connection.send(bytes([number]))
    except OSError:
        pass  # it has ended already


def _exit_code(connection: _socket.socket) -> int:
    """Wait for the verb's end; the death of the process that runs it is a system failure."""
    try:
        told = connection.recv(1)
    except OSError:
        told = b""
    if told:
        return told[0]
    os.write(2, _LOST_WORDS)
    code = os.environ.get("SYSTEM_FAILURE_EXIT_CODE", "")
    return int(code) if code.isascii() and code.isdigit() else 2
