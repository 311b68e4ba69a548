"""The Runner's side of the warm process: hand a verb over to it, pass signals on, return its exit code.

Ten calls a job would spend nine tenths of their time on starting Python and importing. So a process that has imported
everything waits for calls, and forks for each; it starts with the first call and ends when none has come for a while. Where
there is none, the caller runs the verb itself: nothing depends on it. `warm_server` is the other side.

This module is imported by every call: it gets by with what Python has built in (`socket` alone would double its cost).
"""

import _signal
import _socket
import os
import sys
import zlib

ACCEPTED = b"+"
"""The other side's first byte: it has read the whole request, and the verb is now its business."""
RUNNER_PROCESS = "SPACK_FARM_RUNNER_PROCESS"
"""Variable that tells a verb which process has called, where that is not its parent."""
OFF = "SPACK_FARM_EXECUTOR_WARM"
"""Variable of the Runner's process that switches all this off with `no`."""
_HOME = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 (pathlib costs 5 ms)
_PARENT = os.path.dirname(_HOME)  # noqa: PTH120
_KEPT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE", "PYTHONUTF8", "PYTHONDONTWRITEBYTECODE")
_PASSED_ON = (_signal.SIGTERM, _signal.SIGINT)
_LOST_WORDS = b"ERROR: the driver's process died in the middle of the stage (killed for memory, perhaps)\n"


def call(words: list[str]) -> int | None:
    """Have a verb run by the warm process and return its exit code; None if it is to be run here."""
    environ = os.environ  # noqa: TID251 (it is passed on, not read)
    if sys.platform != "linux" or environ.get(OFF) == "no" or words[:1] not in (["config"], ["prepare"], ["run"], ["cleanup"]):
        return None
    try:
        surroundings = surroundings_of_this_process()
        folder = _folder()
        if not folder:
            return None
        path = f"{folder}/{zlib.crc32(surroundings):08x}-{'prepare' if words[0] == 'prepare' else 'all'}"
        connection = _connected(path)
        if connection is None:
            _start(path)
            return None
    except OSError:
        return None
    try:
        if not _sent(connection, surroundings, words):
            return None
        passed: list[int] = []

        def pass_on(number: int, _: object) -> None:
            passed.append(number)
            _send_signal(connection, number)

        former = [_signal.signal(number, pass_on) for number in _PASSED_ON]
        try:
            if _accepted(connection):
                return _exit_code(connection)
        finally:
            for number, handler in zip(_PASSED_ON, former, strict=True):
                _signal.signal(number, handler)
        for number in passed:
            os.kill(os.getpid(), number)
    finally:
        connection.close()
    return None


def surroundings_of_this_process() -> bytes:
    """Return what a process can't change for one call: a warm process serves only calls that agree in all of this."""
    with open("/proc/self/cgroup", "rb") as file:  # noqa: PTH123
        facts = [file.read()]
    facts += [os.fsencode(os.readlink(f"/proc/self/ns/{kind}")) for kind in ("mnt", "net", "pid", "user", "uts", "ipc")]  # noqa: PTH115
    with os.scandir(_HOME) as entries:
        newest = max(entry.stat().st_mtime_ns for entry in entries if entry.name != "__pycache__")
    facts += [os.fsencode(word) for word in (sys.executable, sys.version, _HOME, str(newest), str(os.geteuid()))]
    return b"\0".join([*facts, *(os.fsencode(f"{key}={value}") for key, value in _kept().items())])


def _kept() -> dict[str, str]:
    environ = os.environ  # noqa: TID251 (as above)
    return {key: environ[key] for key in _KEPT if key in environ}


def _folder() -> str:
    """Return the folder for sockets, of this user alone; "" if somebody else has it."""
    environ = os.environ  # noqa: TID251 (as above)
    folder = f"{environ.get('XDG_RUNTIME_DIR') or '/tmp'}/spack-farm-executor-{os.geteuid()}"  # noqa: S108 (looked at below)
    try:
        os.mkdir(folder, 0o700)  # noqa: PTH102
    except FileExistsError:
        pass
    found = os.lstat(folder)
    is_ours = found.st_uid == os.geteuid() and found.st_mode & 0o170077 == 0o040000
    return folder if is_ours else ""


def _connected(path: str) -> _socket.socket | None:
    """Return a connection to a warm process, None if none listens there."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        return None
    return connection


def _start(path: str) -> None:
    """Start the warm process for later calls. Of several at once, all but one end by themselves."""
    program = "import sys; sys.path.insert(0, sys.argv[1]); from executor.warm_server import main; sys.exit(main(sys.argv[2]))"
    actions = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    command = [sys.executable, "-P", "-c", program, _PARENT, path]
    os.posix_spawn(sys.executable, command, _kept(), file_actions=actions, setsid=True)


def _sent(connection: _socket.socket, surroundings: bytes, words: list[str]) -> bool:
    """Send the request, with this process's standard streams; tell whether that went well."""
    umask = os.umask(0o077)
    os.umask(umask)
    environ = os.environb  # noqa: TID251 (as above)
    facts = [os.getcwdb(), b"%d" % umask, b"%d" % os.getppid(), b"%d" % len(words)]
    facts += [os.fsencode(word) for word in words]
    facts += [key + b"=" + value for key, value in environ.items()]
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
        return connection.recv(1) == ACCEPTED
    except OSError:
        return False


def _send_signal(connection: _socket.socket, number: int) -> None:
    try:
        connection.send(bytes([number]))
    except OSError:
        pass  # it has ended already


def _exit_code(connection: _socket.socket) -> int:
    """Wait for the verb's end; a process that died without a word is a system failure."""
    try:
        told = connection.recv(1)
    except OSError:
        told = b""
    if told:
        return told[0]
    os.write(2, _LOST_WORDS)
    code = os.environ.get("SYSTEM_FAILURE_EXIT_CODE", "")  # noqa: TID251 (`environment` is not imported here)
    return int(code) if code.isascii() and code.isdigit() else 2
