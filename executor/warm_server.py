"""The warm process: it imports once, and forks for each call.

It reads nothing of a call: that would stay in every later child's memory. So the child reads the request. A child has the
caller's streams, environment, folder and umask, ends with the caller, and gets the caller's signals.
"""

import atexit
import contextlib
import fcntl
import gc
import http.client
import importlib
import io
import os
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from executor import warm
from executor.environment import process_environment

_MODULES = (
    "executor.driver", "executor.prepare", "executor.run", "executor.cleanup", "executor.local",  # the verbs' own
    "yaml",  # kubeconfigs
    "encodings.idna",  # Python's own, which it imports when it first connects to a host by name
)  # fmt: skip
_IDLE_SECONDS = 600.0
_LOOK_SECONDS = 0.5
_READ_SECONDS = 10.0
_PULSE_SECONDS = 5.0
_KUBECONFIG = b"{clusters: [{name: c}], contexts: [{name: x, context: {cluster: c}}], current-context: x}"
_JOB = b'{"id": 1, "image": {"name": "image"}}'
_OUTDATED = 3
"""Status of a child that has found the program's files changed."""


def main(folder: str, name: str) -> None:
    """Serve on a socket until ten minutes without a call, or until its folder is deleted; end if another process serves."""
    os.closerange(3, 4096)  # descriptors that the first caller happened to have open
    os.umask(0o077)
    os.chdir(folder)
    with Path(f"{name}.lock").open("w") as lock:
        try:
            fcntl.lockf(
                lock, fcntl.LOCK_EX | fcntl.LOCK_NB
            )  # unlike flock's, not held by the children if this process is killed
        except OSError:
            return
        own = warm.surroundings_of("self", process_environment()), warm.program_version()
        _import_everything()
        _serve(Path(name), own)


def _import_everything() -> None:
    """Import what the verbs import, and do once what is the same in every call.

    What a child does first, it pays with its own CPU time and memory: OpenSSL's first connection takes 4 ms and 1.7 MiB.
    """
    for name in _MODULES:
        importlib.import_module(name)
    _parse_once()
    _plan_once()
    _begin_tls_once()
    gc.collect()
    gc.freeze()  # the collector would write to every page, so every child would get a copy


def _parse_once() -> None:
    """Make the command line's parser, the settings' defaults and the decoders of what calls leave for each other."""
    from executor import attempt, credentials, exec_stream, job, kubeconfig, pod_status, settings  # noqa: PLC0415 (after the lock was ours)

    settings.load_settings(settings.DEFAULTS)
    credentials.decoded(b'{"server": ""}')
    job.decoded(b'{"id": 1}')
    kubeconfig.choose({Path("kubeconfig"): _KUBECONFIG}, "")
    exec_stream.exit_code_of(b'{"status": "Success"}')
    http.client.parse_headers(io.BytesIO(b"Content-Type: application/json\r\n\r\n"))
    attempt.decoded(b'{"namespace": "", "pod": ""}')
    pod_status.read_pod({})


def _plan_once() -> None:
    """Plan a pod for nobody and write it down: the pod agent's program is then in every child's config map already."""
    from executor import job, manifest, plan, settings  # noqa: PLC0415 (after the lock was ours)

    made = plan.make_plan(job.decoded(_JOB), settings.load_settings(settings.DEFAULTS), {}, namespace="", attempt="1").plan
    manifest.pod_manifest(made)
    manifest.agent_files_manifest(made)


def _begin_tls_once() -> None:
    """Write the first message of a TLS connection, to nobody: OpenSSL loads its algorithms for it."""
    import ssl  # noqa: PLC0415 (after the lock was ours)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    connection = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    with contextlib.suppress(ssl.SSLError):
        connection.do_handshake()


def _serve(path: Path, own: tuple[bytes, str]) -> None:
    """Accept calls until it is time to end; those that are waiting then are still accepted."""
    children: set[int] = set()
    is_outdated = False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        fresh = Path(f"{path}.{os.getpid()}")
        listener.bind(str(fresh))
        number = fresh.stat().st_ino
        listener.listen(512)
        fresh.rename(path)
        listener.settimeout(_LOOK_SECONDS)
        last = time.monotonic()
        while not is_outdated and (children or time.monotonic() - last < _IDLE_SECONDS):
            is_outdated = _reap(children)
            if _accept(listener, own, children):
                last = time.monotonic()
            elif not _is_there(path, number) and not children:
                return  # the folder was deleted, or another process has replaced the socket
        for name in (path, Path(f"{path}.lock")):
            name.unlink(missing_ok=True)  # from here on, new calls start a new process
        listener.settimeout(0)
        while _accept(listener, own, children):
            pass


def _accept(listener: socket.socket, own: tuple[bytes, str], children: set[int]) -> bool:
    """Accept one call and fork for it; return whether there was one."""
    try:
        connection, _ = listener.accept()
    except (TimeoutError, BlockingIOError):
        return False
    with connection:
        child = os.fork()
        if child == 0:
            listener.close()
            _run(connection, own)
    children.add(child)
    return True


def _reap(children: set[int]) -> bool:
    """Forget the children that have ended; return whether one has found the program changed."""
    is_outdated = False
    for child in list(children):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            children.discard(child)
            is_outdated |= os.waitstatus_to_exitcode(status) == _OUTDATED
    return is_outdated


def _is_there(path: Path, number: int) -> bool:
    with contextlib.suppress(OSError):
        return path.stat().st_ino == number
    return False


def _run(connection: socket.socket, own: tuple[bytes, str]) -> None:
    """Be the child: take on the caller's surroundings, run its verb, send the exit code. Never returns."""
    from executor import driver  # noqa: PLC0415 (imported already, after the lock was ours)

    code, status = 1, 0
    try:
        connection.settimeout(_READ_SECONDS)
        if warm.program_version() != own[1]:
            status = _OUTDATED
            return
        argv = _become(connection, own[0])
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
        atexit._run_exitfuncs()  # noqa: SLF001 (what libraries leave to the end of a process)
        connection.sendall(b"%d\n" % code)
    finally:
        os._exit(status)


def _become(connection: socket.socket, own: bytes) -> list[str]:
    """Read the request and take on the caller's streams, folder, umask and environment; return its command line.

    Raises OSError or ValueError if the caller is gone, or has other surroundings: the verb has not begun then.
    """
    start, streams, _, _ = socket.recv_fds(connection, 8, 3)
    length = int.from_bytes(_exactly(connection, 8, start), "big")
    folder, umask, runner, number, *rest = _exactly(connection, length, b"").split(b"\0")
    variables = [variable.partition(b"=") for variable in rest[int(number) :]]
    caller = int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), sys.byteorder)
    kept = {os.fsdecode(key): os.fsdecode(value) for key, _, value in variables if not key.startswith(b"CUSTOM_ENV_")}
    theirs = warm.surroundings_of(caller, kept)
    if len(streams) != 3 or theirs != own:
        raise ValueError("the caller has other surroundings")
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    os.chdir(folder)
    os.umask(int(umask))
    os.environb.clear()
    for key, _, value in variables:
        os.environb[key] = value
    os.environ[warm.RUNNER_PROCESS] = str(int(runner))
    time.tzset()
    os.setsid()
    return [os.fsdecode(argument) for argument in rest[: int(number)]]


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
