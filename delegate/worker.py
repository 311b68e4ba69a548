#!/usr/bin/env python3
"""A worker of the delegate protocol: asks a gateway for work and runs a command once for each request.

One file, standard library only, Python >= 3.6: it is copied into any image that has a Python. Imports nothing of ours;
docs/reference/delegate-protocol.md is all that it knows of the gateway. `worker.py --help` describes command and options.
"""

import argparse
import errno
import hashlib
import http.client
import os
import re
import resource
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Set, Tuple

PROTOCOL = 2
_FIRST_BEAT_SECONDS = 0.1  # most trivial computations end before they need one
_CONTACT_SECONDS = 10.0
_GRACE_SECONDS = 2.0
_HOLD_SECONDS = 5.0
_SOCKET_SECONDS = 60.0
_MESSAGE_BYTES = 4096
_LOG_BYTES = 1 << 16
_FINGERPRINT_BYTES = 1024
_HEADER = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\x20-\x7e\xa0-\xff]*)")
_LAST_SIGNAL = 64
_LONGEST_SOCKET = 107  # sockaddr_un.sun_path, with its final NUL
_MOST_SECONDS = 10**9
_PR_SET_CHILD_SUBREAPER = 36
_MOST_GENERATIONS = 20
_TRY_LATER, _NOT_EXECUTABLE, _NOT_FOUND = 75, 126, 127

EPILOG = """\
The command reads the request's body from standard input and prints the answer. Its variables:
  DELEGATE_REQUEST_ID, DELEGATE_ATTEMPT    which request this is, and which try
  DELEGATE_DEADLINE                        seconds that are left
  DELEGATE_QUERY                           what follows ? in the address
  DELEGATE_HEADER_CONTENT_TYPE …           headers of the request
  DELEGATE_HEADERS_FILE                    lines `Name: value` written here become headers of the answer
Its exit code says what became of the request:
  0 answered · 75 not now (503) · 126, 127 can't be run (502) · a signal, or 129 to 192: crashed (tried once more, then
  502) · any other: refused (422, with the end of standard error)

example:
  worker.py --socket /run/delegate/gateway.sock -- sort

exit codes:
  0 ended by TERM, with nothing left to do
  2 bad request, or a gateway that this worker can't talk to
"""


class GatewayError(Exception):
    """The gateway can't be reached, or broke the connection."""


class Unusable(Exception):
    """The gateway will never give this worker work."""


class Work:
    """A request as the gateway gives it."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        headers = {name.lower(): value for name, value in headers.items()}
        self.request_id = headers.get("delegate-request-id", "")
        self.attempt = headers.get("delegate-attempt", "")
        self.kind = headers.get("delegate-kind", "run")  # version 1 has no other
        self.deadline_at = time.monotonic() + float(headers.get("delegate-deadline", "600"))
        self.query = headers.get("delegate-query", "")
        self.digest = headers.get("delegate-digest", "")
        self.key = headers.get("delegate-key", "")
        self.headers = {name[6:]: value for name, value in headers.items() if name.startswith("asked-")}  # type: Dict[str, str]

    @property
    def path(self) -> str:
        """What all that is said about this attempt begins with."""
        return "/v1/requests/{}/{}".format(self.request_id, self.attempt)

    def result_key(self, fingerprint: str) -> str:
        """Return the key under which the result stands while the inputs have a fingerprint."""
        return hashlib.sha256("{}\n{}".format(self.digest, fingerprint).encode()).hexdigest()


class Failed(Exception):
    """An attempt that has no answer: a failure of the protocol, and what is said of it."""

    def __init__(self, failure: str, message: str, fingerprint: str = "") -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message
        self.fingerprint = fingerprint


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("gateway", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Gateway:
    """One connection to the gateway, made anew when it breaks. For one thread."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection = None  # type: Optional[_Connection]

    def ask(self, path: str, headers: Mapping[str, str], body: Any = b"") -> http.client.HTTPResponse:
        """Send a POST; return the answer, whose body is to be read. Raises GatewayError."""
        for is_again in (False, True):
            is_fresh = self._connection is None
            if self._connection is None:
                self._connection = _Connection(self._path, _SOCKET_SECONDS)
            try:
                if hasattr(body, "seek"):
                    body.seek(0)
                self._connection.request("POST", path, body, dict(headers))
                return self._connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # a gateway may close a connection that was idle: all that a worker says may be said twice
                if is_fresh or is_again:
                    raise GatewayError(str(error) or type(error).__name__) from error
        raise AssertionError

    def say(self, path: str, headers: Mapping[str, str], body: Any = b"") -> int:
        """Send a POST; return the status of the answer. Raises GatewayError."""
        answer = self.ask(path, headers, body)
        try:
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise GatewayError(str(error)) from error
        return answer.status

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Attempt:
    """One running command: its process group, its heartbeats, its log."""

    def __init__(self, worker: "Worker", work: Work, command: List[str], folder: str, body: str) -> None:
        self._worker = worker
        self._work = work
        self._folder = folder
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._tail = self._unsent = b""
        self._is_ended = False
        self.stopped_for = ""
        """`over`: nothing waits any more; `deadline`; empty if the command ended by itself."""
        self.answer = os.path.join(folder, "answer")
        self.headers_file = os.path.join(folder, "headers")
        cwd = os.path.join(folder, "work")
        os.mkdir(cwd)
        with open(body, "rb") as stdin, open(self.answer, "wb") as stdout:
            self._process = worker.start(command, self._variables(cwd), cwd, stdin, stdout)

    def wait(self) -> int:
        """Wait for the end of the command; stop what it has left running; return its exit code, or minus a signal."""
        reader = None  # type: Optional[threading.Thread]
        if not self._ends_soon():
            reader = threading.Thread(target=self._read_log, daemon=True)
            reader.start()
            threading.Thread(target=self._beat, daemon=True).start()
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            # until it is reaped, the number of its group can belong to no other
            self._kill(signal.SIGKILL)
            self._is_ended = True
            code = self._process.wait()
            self._worker.end_strays(self._work.request_id, self._process.pid)
        self._over.set()
        if reader:
            reader.join(_GRACE_SECONDS)
            return code
        if self._process.stderr:
            self._process.stderr.close()
        if self._unsent:
            gateway = Gateway(self._worker.socket)
            self._send_log(gateway)
            gateway.close()
        return code

    def _ends_soon(self) -> bool:
        """Wait a moment for the end of a command that is trivial: it needs no threads for its heartbeats and its log."""
        stream, until = self._process.stderr, time.monotonic() + _FIRST_BEAT_SECONDS
        assert stream is not None
        ready, wait_milliseconds = select.poll(), 5.0
        ready.register(stream, select.POLLIN)
        while time.monotonic() < until:
            if ready.poll(wait_milliseconds):
                data = os.read(stream.fileno(), _LOG_BYTES)
                self._note(data)
                if not data:
                    # standard error is closed: most commands have ended by then
                    ready.unregister(stream)
                    wait_milliseconds = 0.5
            if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
                return True
        return False

    def stop(self, reason: str) -> None:
        """Let the process group end: TERM, after a grace period KILL."""
        with self._lock:
            if self._is_ended or self.stopped_for:
                return
            self.stopped_for = reason
            self._kill(signal.SIGTERM)
        if not self._over.wait(_GRACE_SECONDS):
            with self._lock:
                if not self._is_ended:
                    self._kill(signal.SIGKILL)

    def errors(self) -> str:
        """Return the end of what the command wrote to standard error."""
        return self._tail.decode("utf-8", "replace").strip()

    def answer_headers(self) -> Dict[str, str]:
        """Return the headers that the command wrote for its answer; lines that are none are left out."""
        try:
            with _opened(self.headers_file) as file:
                lines = file.read(_LOG_BYTES).decode("latin-1").splitlines()
        except OSError:
            return {}
        found = (_HEADER.fullmatch(line.rstrip()) for line in lines)
        return {"Answer-" + each.group(1): each.group(2) for each in found if each}

    def _variables(self, cwd: str) -> Dict[str, str]:
        work = self._work
        return dict(
            _request_variables(work),
            DELEGATE_HEADERS_FILE=self.headers_file,
            TMPDIR=cwd,
        )

    def _kill(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def _beat(self) -> None:
        """Keep the attempt alive; stop the command when nothing waits for it, or its time is up."""
        gateway, seen_at = Gateway(self._worker.socket), time.monotonic()
        wait_seconds = _FIRST_BEAT_SECONDS
        while not self._over.wait(wait_seconds):
            wait_seconds = 0.0
            if time.monotonic() > self._work.deadline_at:
                self.stop("deadline")
                break
            try:
                status = gateway.say(self._work.path + "/heartbeat", self._worker.spoken)
            except GatewayError:
                wait_seconds = 0.2
                if time.monotonic() - seen_at > _CONTACT_SECONDS:
                    self.stop("over")
                    break
                continue
            seen_at = time.monotonic()
            if status in (404, 409, 410):
                self.stop("over")
                break
            if status != 204:
                wait_seconds = 1.0
        gateway.close()

    def _read_log(self) -> None:
        """Send what the command writes to standard error, and keep its end."""
        gateway = Gateway(self._worker.socket)
        stream = self._process.stderr
        assert stream is not None
        if self._unsent:
            self._send_log(gateway)
        while True:
            try:
                data = os.read(stream.fileno(), _LOG_BYTES)
            except OSError:
                data = b""
            if not data:
                break
            self._note(data)
            self._send_log(gateway)
        stream.close()
        gateway.close()

    def _note(self, data: bytes) -> None:
        """Keep what the command has written to standard error."""
        self._tail = (self._tail + data)[-_MESSAGE_BYTES:]
        self._unsent = (self._unsent + data)[-_LOG_BYTES:]

    def _send_log(self, gateway: Gateway) -> None:
        """Send what is not yet sent of the log, which is no part of the answer."""
        try:
            gateway.say(self._work.path + "/log", self._worker.spoken, self._unsent)
        except GatewayError:
            pass
        self._unsent = b""


class Worker:
    """Asks for work until it is ended."""

    def __init__(self, options: argparse.Namespace, name: str) -> None:
        self.socket = options.socket  # type: str
        self._command = options.command  # type: List[str]
        self._fingerprint = options.fingerprint  # type: str
        self._folder = options.folder or None  # type: Optional[str]
        self._linger_seconds = options.linger  # type: float
        self._limits = _limits(options)
        self._name = name
        self._ending = threading.Event()
        self._linger_until = 0.0
        self._children: Set[int] = set()
        self._children_lock = threading.Lock()
        self._running = {}  # type: Dict[int, Attempt]
        self.spoken = {"Delegate-Protocol": str(PROTOCOL), "Delegate-Worker": name}

    def end(self) -> None:
        """Take no more work once there is none, and the time to linger is over."""
        self._linger_until = time.monotonic() + self._linger_seconds
        self._ending.set()

    def stop(self) -> None:
        """Stop the commands that run."""
        for attempt in list(self._running.values()):
            attempt.stop("over")

    def serve(self, kinds: str) -> None:
        """Ask for work of some kinds and carry it out, until ended. Raises Unusable."""
        gateway, wait_seconds = Gateway(self.socket), 0.05
        while True:
            is_ending = self._ending.is_set() and time.monotonic() >= self._linger_until
            try:
                work, folder, body = self._next(gateway, kinds, is_ending=is_ending)
                if wait_seconds > 0.05:
                    _log("the gateway at {} answers".format(self.socket))
                wait_seconds = 0.05
            except GatewayError as error:
                if is_ending:
                    return
                if wait_seconds == 0.05:
                    _log("no gateway at {}: {}; trying again".format(self.socket, error))
                wait_seconds = min(2.0, wait_seconds * 2)
                self._ending.wait(wait_seconds)
                if self._ending.is_set():
                    time.sleep(0.1)
                continue
            if work is None:
                if is_ending:
                    return
                continue
            try:
                self._carry_out(gateway, work, folder, body)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def start(
        self, command: List[str], variables: Mapping[str, str], cwd: str, stdin: Any, stdout: Any
    ) -> "subprocess.Popen[bytes]":
        """Start a command in a process group of its own. Raises Failed if it can't be run."""
        environment = dict(os.environ, **variables)
        try:
            with self._children_lock:
                process = subprocess.Popen(
                    command,
                    stdin=stdin,
                    stdout=stdout,
                    stderr=subprocess.PIPE,
                    cwd=cwd,
                    env=environment,
                    start_new_session=True,
                    # between fork and exec it only calls the kernel, and takes no lock that a thread could hold
                    preexec_fn=_setting(self._limits) if self._limits else None,  # noqa: PLW1509
                )
                self._children.add(process.pid)
                return process
        except OSError as error:
            failure = "unavailable" if error.errno in (errno.EAGAIN, errno.ENOMEM) else "unrunnable"
            raise Failed(failure, "{} can't be run: {}".format(command[0], error.strerror)) from error
        except subprocess.SubprocessError as error:
            raise Failed("unrunnable", "{} can't be run with these limits: {}".format(command[0], error)) from error

    def end_strays(self, request_id: str, ended: int) -> None:
        """Kill what a command has left outside its process group, and reap what it has left behind.

        Such processes are children of this one: it is the first process of a container, or a subreaper. They are known by
        the variable that they inherited.
        """
        mark = b"DELEGATE_REQUEST_ID=" + request_id.encode()
        with self._children_lock:
            self._children.discard(ended)
            for _ in range(_MOST_GENERATIONS):
                strays = [each for each in _children_of_this_process() if each not in self._children]
                # the killed ones' own children are the next generation
                if sum(_end_stray(each, mark) for each in strays) == 0:
                    return

    def _next(self, gateway: Gateway, kinds: str, *, is_ending: bool) -> Tuple[Optional[Work], str, str]:
        """Return work, its folder and the file with its body; None if there is none. Raises GatewayError, Unusable."""
        hold = 0.0 if is_ending else _HOLD_SECONDS
        if self._ending.is_set() and not is_ending:
            hold = max(0.0, min(hold, self._linger_until - time.monotonic()))
        headers = dict(self.spoken)
        headers.update({"Delegate-Kinds": kinds, "Delegate-Hold": "{:.1f}".format(hold)})
        if is_ending:
            headers["Delegate-Ending"] = "yes"
        answer = gateway.ask("/v1/next", headers)
        try:
            if answer.status == 200:
                work = Work(dict(answer.headers.items()))
                return (work,) + self._received(gateway, answer, work)
            text = answer.read().decode("utf-8", "replace").strip()
        except (OSError, http.client.HTTPException) as error:
            gateway.close()
            raise GatewayError(str(error)) from error
        if answer.status in (400, 404, 426):
            raise Unusable("the gateway at {} answers {}: {}".format(self.socket, answer.status, text))
        if answer.status != 204:
            raise GatewayError("it answers {}".format(answer.status))
        return None, "", ""

    def _received(self, gateway: Gateway, answer: http.client.HTTPResponse, work: Work) -> Tuple[str, str]:
        """Write a request's body to a file in a folder of its own."""
        folder = ""
        try:
            folder = tempfile.mkdtemp(prefix="request-", dir=self._folder)
            body = os.path.join(folder, "body")
            with open(body, "wb") as file:
                shutil.copyfileobj(answer, file, 1 << 16)
        except OSError as error:
            gateway.close()
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, ConnectionError) or error.errno is None:
                raise
            message = "the worker has no room for the request: {}".format(error.strerror)
            self._report(gateway, work, Failed("unavailable", message))
            raise GatewayError(message) from error
        return folder, body

    def _carry_out(self, gateway: Gateway, work: Work, folder: str, body: str) -> None:
        """Compute an answer and send it, or say why there is none."""
        try:
            if work.kind == "fingerprint":
                fingerprint = self._print_of(work, folder, body)
                gateway.say(work.path + "/response", self.spoken, fingerprint.encode())
                return
            before = self._checked_print(work, folder, body, None) if work.kind == "result" else ""
            self._run(gateway, work, folder, body, before)
        except Failed as failed:
            self._report(gateway, work, failed)
        except GatewayError as error:
            _log("request {}: the answer could not be sent: {}".format(work.request_id, error))
        except OSError as error:
            self._report(gateway, work, Failed("unavailable", "the worker can't compute: {}".format(error)))

    def _run(self, gateway: Gateway, work: Work, folder: str, body: str, before: str) -> None:
        attempt = Attempt(self, work, self._command, folder, body)
        self._running[id(attempt)] = attempt
        try:
            code = attempt.wait()
        finally:
            self._running.pop(id(attempt), None)
        if attempt.stopped_for == "over":
            return
        if attempt.stopped_for == "deadline":
            raise Failed("timed-out", "the deadline passed")
        _raise_for(code, attempt.errors())
        headers = dict(self.spoken)
        headers.update(attempt.answer_headers())
        headers["Content-Type"] = "application/octet-stream"
        headers["Content-Length"] = str(os.lstat(attempt.answer).st_size)
        if work.kind == "result":
            # what was read while the inputs changed belongs to no address
            headers["Delegate-Fingerprint"] = self._checked_print(work, folder, body, before)
        with _opened(attempt.answer) as answer:
            gateway.say(work.path + "/response", headers, answer)

    def _report(self, gateway: Gateway, work: Work, failed: Failed) -> None:
        headers = dict(self.spoken)
        headers["Delegate-Failure"] = failed.failure
        if failed.fingerprint:
            headers["Delegate-Fingerprint"] = failed.fingerprint
        if failed.failure != "moved":
            _log("request {}, attempt {}: {}: {}".format(work.request_id, work.attempt, failed.failure, failed.message))
        try:
            gateway.say(work.path + "/error", headers, failed.message.encode())
        except GatewayError as error:
            _log("request {}: the failure could not be sent: {}".format(work.request_id, error))

    def _checked_print(self, work: Work, folder: str, body: str, before: Optional[str]) -> str:
        """Return the fingerprint of the inputs. Raises Failed if the result's address does not name these."""
        fingerprint = self._print_of(work, folder, body)
        is_same = before == fingerprint if before is not None else work.result_key(fingerprint) == work.key
        if not is_same:
            raise Failed("moved", "the inputs have changed", fingerprint)
        return fingerprint

    def _print_of(self, work: Work, folder: str, body: str) -> str:
        """Run the fingerprint command; return the one line that it prints. Raises Failed."""
        if not self._fingerprint:
            raise Failed("unrunnable", "this worker has no --fingerprint")
        with _opened(body) as stdin:
            process = self.start(
                ["/bin/sh", "-c", self._fingerprint], _request_variables(work), folder, stdin, subprocess.PIPE
            )
        try:
            output, errors = process.communicate(timeout=max(0.1, work.deadline_at - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise Failed("timed-out", "the deadline passed while the fingerprint was computed") from None
        finally:
            self.end_strays(work.request_id + "-fingerprint", process.pid)
        _raise_for(process.returncode, errors[-_MESSAGE_BYTES:].decode("utf-8", "replace").strip())
        text = output[: _FINGERPRINT_BYTES + 1].decode("utf-8", "replace").strip()
        if not text or len(text.encode()) > _FINGERPRINT_BYTES or not text.isprintable():
            message = "the fingerprint command must print one line of 1 to {} bytes".format(_FINGERPRINT_BYTES)
            raise Failed("unrunnable", message)
        return text


def _opened(path: str) -> Any:
    """Open a file that a command could have replaced: by a pipe that blocks for ever, or by a link to another's file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "the command has replaced a file of its request")
    return open(descriptor, "rb")


def _request_variables(work: Work) -> Dict[str, str]:
    variables = {
        "DELEGATE_REQUEST_ID": work.request_id,
        "DELEGATE_ATTEMPT": work.attempt,
        "DELEGATE_DEADLINE": "{:.0f}".format(max(0.0, work.deadline_at - time.monotonic())),
        "DELEGATE_QUERY": work.query,
    }
    for name, value in work.headers.items():
        variables["DELEGATE_HEADER_" + re.sub(r"[^A-Z0-9]", "_", name.upper())] = value
    return variables


def _raise_for(code: int, errors: str) -> None:
    """Raise Failed unless an exit code, or minus a signal, means success."""
    if code == 0:
        return
    if code < 0 or 128 < code <= 128 + _LAST_SIGNAL:
        number = -code if code < 0 else code - 128
        raise Failed("crashed", "the command was ended by signal {}: {}".format(number, errors or "no message"))
    table = {_TRY_LATER: "unavailable", _NOT_EXECUTABLE: "unrunnable", _NOT_FOUND: "unrunnable"}
    raise Failed(table.get(code, "refused"), errors or "the command ended with {} and no message".format(code))


def _become_subreaper() -> None:
    """Let processes that lose their parent become children of this one, where the system can do that."""
    try:
        import ctypes  # noqa: PLC0415  some small Pythons have none

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass


def _children_of_this_process() -> List[int]:
    found = []  # type: List[int]
    for thread in os.listdir("/proc/self/task"):
        try:
            with open("/proc/self/task/{}/children".format(thread)) as file:
                found += [int(each) for each in file.read().split()]
        except OSError:
            pass  # the thread has ended, or the kernel has no such file
    return found


def _end_stray(process: int, mark: bytes) -> bool:
    """Reap a child that has ended, kill one that carries a mark; return whether there may be more after it."""
    try:
        if os.waitpid(process, os.WNOHANG)[0]:
            return True
        with open("/proc/{}/environ".format(process), "rb") as file:
            if mark not in file.read().split(b"\0"):
                return False
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    except OSError:
        return False
    return True


def _limits(options: argparse.Namespace) -> List[Tuple[int, int]]:
    asked = (
        (resource.RLIMIT_AS, options.memory_bytes),
        (resource.RLIMIT_CPU, options.cpu_seconds),
        (resource.RLIMIT_FSIZE, options.file_bytes),
        (resource.RLIMIT_NOFILE, options.open_files),
    )
    return [(which, value) for which, value in asked if value is not None]


def _setting(limits: List[Tuple[int, int]]) -> Callable[[], None]:
    def set_limits() -> None:
        for which, value in limits:
            hard = resource.getrlimit(which)[1]
            bounded = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(which, (bounded, bounded))

    return set_limits


def _log(text: str) -> None:
    sys.stderr.write("worker: {}\n".format(text))
    sys.stderr.flush()


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("give a number of at least 1")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError("give a number from 0 to {}".format(_MOST_SECONDS))
    return value


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what a worker takes."""
    parser.add_argument("--socket", required=True, metavar="PATH", help="the gateway's Unix socket")
    parser.add_argument(
        "--fingerprint",
        default="",
        metavar="COMMAND",
        help="a shell command that prints one line in milliseconds, which changes with any input of the command that is not"
        " in the request, such as the checksum of a file: results then have addresses, and caches may keep them",
    )
    parser.add_argument("--jobs", type=_positive, default=1, metavar="N", help="requests at once (default: 1)")
    parser.add_argument("--folder", default="", metavar="PATH", help="where each request has a folder (default: $TMPDIR)")
    parser.add_argument(
        "--linger",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="after TERM, take work for at least so long: as long as the gateway takes requests (default: 0)",
    )
    parser.add_argument("--memory-bytes", type=_positive, metavar="N", help="address space of each process of the command")
    parser.add_argument("--cpu-seconds", type=_positive, metavar="N", help="CPU time of each process of the command")
    parser.add_argument("--file-bytes", type=_positive, metavar="N", help="size of each file that the command writes")
    parser.add_argument("--open-files", type=_positive, metavar="N", help="files that the command may have open")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="what is run for each request, after --")


def _fault(options: argparse.Namespace, program: str) -> str:
    """Return what would make each request fail; empty if nothing is known."""
    if shutil.which(options.command[0]) is None:
        return "{} is not an executable program here".format(program or "an empty name")
    if not 0 < len(os.fsencode(options.socket)) <= _LONGEST_SOCKET:
        return "--socket is '{}': a path of 1 to {} bytes is possible".format(options.socket, _LONGEST_SOCKET)
    if options.folder and not os.path.isdir(options.folder):
        return "--folder is {}, which is no folder; make it, or name another".format(options.folder)
    return ""


def run(options: argparse.Namespace) -> int:
    """Serve until TERM; return the exit code."""
    program = options.command[0]
    if "/" in program:
        options.command[0] = os.path.abspath(program)  # it is run in another folder
    fault = _fault(options, program)
    if fault:
        _log(fault)
        return 2
    _become_subreaper()
    # containers of one pod share its host name, and each has a first process
    name = "{}-{}-{}".format(socket.gethostname(), os.getpid(), os.urandom(4).hex())
    worker, faults = Worker(options, name), []  # type: Tuple[Worker, List[str]]

    def serve(kinds: str) -> None:
        try:
            worker.serve(kinds)
        except Unusable as error:
            faults.append(str(error))
            worker.end()

    kinds = ["result" if options.fingerprint else "run"] * options.jobs
    kinds += ["fingerprint"] if options.fingerprint else []
    # commands run from threads: signals are for the main one
    threads = [threading.Thread(target=serve, args=(each,), daemon=True) for each in kinds]
    _log("{} takes requests from {}".format(name, options.socket))
    number = _serve_until_signal(worker, threads)
    if number:
        return 128 + number
    for fault in faults[:1]:
        _log(fault)
    return 2 if faults else 0


def _serve_until_signal(worker: Worker, threads: List[threading.Thread]) -> int:
    """Run threads until they end; return the second signal that came meanwhile, or 0."""
    signals = []  # type: List[int]

    def on_signal(number: int, _frame: object) -> None:
        signals.append(number)
        worker.end()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(0.25)
        if len(signals) > 1:
            worker.stop()
            return signals[-1]
    return 0


def main(argv: Optional[List[str]] = None) -> int:
    """Run as a program of its own."""
    parser = argparse.ArgumentParser(
        prog="worker.py",
        description="Run a command once for each request of a gateway.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
