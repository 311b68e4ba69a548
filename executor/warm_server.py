"""The warm process: it imports once, and forks for each call.

It reads nothing of a call: that would stay in every later child's memory. So the child reads the request. A child has the
caller's streams, environment, folder and umask, ends with the caller, and gets the caller's signals.
"""

import atexit
import contextlib
import fcntl
import gc
import importlib
import os
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from executor import warm

_MODULES = (
    "executor.driver", "executor.prepare", "executor.run", "executor.cleanup", "executor.local",  # the verbs' own
    "encodings.idna",  # Python's own, which it imports when it first connects to a host by name
)  # fmt: skip
_IDLE_SECONDS = 600.0
_LOOK_SECONDS = 0.5
_READ_SECONDS = 10.0
_PULSE_SECONDS = 5.0


def main(folder: str, name: str) -> None:
    """Serve on a socket until ten minutes without a call, or until its folder is deleted; end if another process serves."""
    os.closerange(3, 4096)  # descriptors that the first caller happened to have open
    os.umask(0o077)
    os.chdir(folder)
    with Path(f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        surroundings = warm.surroundings_of_this_process()
        verb = "prepare" if name.endswith("-prepare") else "run"
        if name != warm.name_of(surroundings, verb):
            return  # the program's files have changed since the call
        _import_everything(for_prepare=verb == "prepare")
        _serve(Path(name), surroundings)


def _import_everything(*, for_prepare: bool) -> None:
    """Import what the verbs import; the YAML parser only for the verb that reads kubeconfigs.

    The command line's parser and the settings' defaults, which are the same in every call, are made here too.
    """
    modules = {name: importlib.import_module(name) for name in _MODULES}
    modules["executor.driver"].parser()
    settings = importlib.import_module("executor.settings")
    settings.load_settings(settings.DEFAULTS)
    if for_prepare:
        importlib.import_module("yaml")
    gc.collect()
    gc.freeze()  # the collector would write to every page, so every child would get a copy


def _serve(path: Path, surroundings: bytes) -> None:
    """Accept calls until it is time to end; those that are waiting then are still accepted."""
    children: set[int] = set()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        fresh = Path(f"{path}.{os.getpid()}")
        listener.bind(str(fresh))
        own = fresh.stat().st_ino
        listener.listen(512)
        fresh.rename(path)
        listener.settimeout(_LOOK_SECONDS)
        last = time.monotonic()
        while children or time.monotonic() - last < _IDLE_SECONDS:
            if _accept(listener, surroundings, children):
                last = time.monotonic()
            elif not _is_there(path, own) and not children:
                return  # the folder was deleted, or another process has replaced the socket
        for name in (path, Path(f"{path}.lock")):
            name.unlink(missing_ok=True)  # from here on, new calls start a new process
        listener.settimeout(0)
        while _accept(listener, surroundings, children):
            pass


def _accept(listener: socket.socket, surroundings: bytes, children: set[int]) -> bool:
    """Accept one call and fork for it; return whether there was one."""
    for child in list(children):
        if os.waitpid(child, os.WNOHANG)[0]:
            children.discard(child)
    try:
        connection, _ = listener.accept()
    except (TimeoutError, BlockingIOError):
        return False
    with connection:
        child = os.fork()
        if child == 0:
            listener.close()
            _run(connection, surroundings)
    children.add(child)
    return True


def _is_there(path: Path, own: int) -> bool:
    with contextlib.suppress(OSError):
        return path.stat().st_ino == own
    return False


def _run(connection: socket.socket, surroundings: bytes) -> None:
    """Be the child: take on the caller's surroundings, run its verb, send the exit code. Never returns."""
    from executor import driver  # noqa: PLC0415 (imported already, after the lock was ours)

    code = 1
    try:
        connection.settimeout(_READ_SECONDS)
        argv = _become(connection, surroundings)
        connection.sendall(warm.ACCEPTED)
        if connection.recv(1) != warm.BEGIN:
            return
        connection.settimeout(None)
        threading.Thread(target=_follow_caller, args=(connection,), daemon=True).start()
        try:
            code = driver.main(argv)
        except SystemExit as end:  # argparse has printed what is wrong
            code = end.code if isinstance(end.code, int) else 1
        sys.stdout.flush()
        atexit._run_exitfuncs()  # noqa: SLF001 (the official client deletes its certificate files there)
        connection.sendall(b"%d\n" % code)
    finally:
        os._exit(code)


def _become(connection: socket.socket, surroundings: bytes) -> list[str]:
    """Read the request and take on the caller's streams, folder, umask and environment; return its command line.

    Raises OSError or ValueError if the caller is gone, or has other surroundings: the verb has not begun then.
    """
    start, streams, _, _ = socket.recv_fds(connection, 8, 3)
    theirs = _part(connection, start)
    facts = _part(connection, b"")
    if len(streams) != 3 or theirs != surroundings:
        raise ValueError("the caller has other surroundings")
    folder, umask, runner, number, *rest = facts.split(b"\0")
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    os.chdir(folder)
    os.umask(int(umask))
    os.environb.clear()
    for variable in rest[int(number) :]:
        key, _, value = variable.partition(b"=")
        os.environb[key] = value
    os.environ[warm.RUNNER_PROCESS] = str(int(runner))
    time.tzset()
    os.setsid()
    return [os.fsdecode(argument) for argument in rest[: int(number)]]


def _part(connection: socket.socket, start: bytes) -> bytes:
    """Return one part of the request: its length in eight bytes, then its bytes."""
    length = int.from_bytes(_exactly(connection, 8, start), "big")
    return _exactly(connection, length, b"")


def _exactly(connection: socket.socket, length: int, start: bytes) -> bytes:
    content = bytearray(start)
    while len(content) < length:
        more = connection.recv(min(length - len(content), 1 << 16))
        if not more:
            raise ConnectionResetError("the caller is gone")
        content += more
    return bytes(content)


def _follow_caller(connection: socket.socket) -> None:
    """Send the caller's signals to the main thread, and end with the caller."""
    main_thread = threading.main_thread().ident or 0
    while True:
        try:
            while not select.select([connection], [], [], _PULSE_SECONDS)[0]:
                connection.sendall(warm.PULSE)
            number = connection.recv(1)
        except OSError:
            number = b""
        if not number:
            os.kill(os.getpid(), signal.SIGKILL)
        signal.pthread_kill(main_thread, number[0])
