"""Work on many items: in threads, or for a large push or verification in processes, as Python computes on one core.

The processes are forked, so that what they work on need not be sent to them; each opens connections of its own. Tasks and
answers pass through one socket that keeps messages apart: a thread that is free takes the next task, in their order. Why not
`ProcessPoolExecutor`: docs/decisions/0005. Source: unix(7) SOCK_SEQPACKET, prctl(2) PR_SET_PDEATHSIG, pidfd_open(2).
"""

import concurrent.futures
import contextlib
import ctypes
import os
import queue
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import NoReturn, TypeVar

import msgspec

from buildjob import errors

WORTH_TASKS = 64
"""From this number on, processes gain more than their start costs."""
_LARGEST_MESSAGE_BYTES = 1 << 16
_LONGEST_TEXT = 8192
_BUFFER_BYTES = 1 << 20
_PR_SET_PDEATHSIG = 1

Result = TypeVar("Result", int, str)
_Item = TypeVar("_Item")
_Any = TypeVar("_Any")


def in_parallel(items: Iterable[_Item], work: Callable[[_Item], _Any], *, workers: int) -> Iterator[tuple[_Item, _Any]]:
    """Yield each item with its result, in any order, from `workers` threads; takes few more items than are being worked on.

    The first exception is raised here, once the items under way are done; no further ones are begun.
    """
    with concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="publish") as pool:
        running: dict[concurrent.futures.Future[_Any], _Item] = {}
        ended: queue.SimpleQueue[concurrent.futures.Future[_Any]] = queue.SimpleQueue()
        try:
            for item in items:
                future = pool.submit(work, item)
                running[future] = item
                future.add_done_callback(ended.put)
                if len(running) >= 2 * workers:
                    future = ended.get()
                    yield running.pop(future), future.result()
            while running:
                future = ended.get()
                yield running.pop(future), future.result()
        finally:
            for future in running:
                future.cancel()


class _Answer(msgspec.Struct, frozen=True):
    """A process's answer to one task."""

    task: str
    result: int | str = 0
    fault: str = ""
    """Class name of the exception that ended it; empty if none did."""
    text: str = ""
    number: int = 0
    """Of an OSError."""
    file: str = ""


def can_be_forked() -> bool:
    """Return whether this process can be forked: a lock that another thread holds would stay locked in the copy."""
    return threading.active_count() == 1


def in_processes(
    tasks: Iterable[str], prepare: Callable[[], Callable[[str], Result]], *, processes: int, threads: int
) -> Generator[tuple[str, Result], None, None]:
    """Yield each task with its result, in any order; `threads` in each process take the tasks in their order.

    `prepare` is called once in each process and returns the function that does a task; it must not use the caller's
    connections. The first exception is raised here, and all processes are killed where they are; so they are when the
    generator is closed, and when the caller ends.
    """
    own, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with own, theirs, contextlib.ExitStack() as stack:
        for end in (own, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        sys.stdout.flush()  # a process must not write again what the caller has only buffered
        sys.stderr.flush()
        started = [stack.enter_context(_forked(own, theirs, prepare, threads)) for _ in range(processes)]
        theirs.close()
        waiting = iter(tasks)
        # one more for each process than it has threads: a thread that is done finds the next task waiting
        under_way, most = 0, processes * threads + processes
        while True:
            while under_way < most and (task := next(waiting, None)) is not None:
                under_way += 1
                with contextlib.suppress(ConnectionError):  # all processes have ended: `_next_answer` finds out why
                    own.send(task.encode())
            if not under_way:
                return
            answer = _next_answer(own, started)
            under_way -= 1
            yield answer.task, answer.result  # type: ignore[misc]  # int or str, as `prepare` makes them


def _next_answer(own: socket.socket, started: list[int]) -> _Answer:
    """Wait for an answer. Raises the exception that ended a task, and PublishError if a process was killed."""
    ready, _, _ = select.select([own.fileno(), *started], [], [])
    answer = _received(own) if own.fileno() in ready else None
    if answer is None:
        raise errors.PublishError(
            "one of the processes was killed from outside, perhaps for memory; the build cache is consistent, "
            "and the same command continues from here"
        )
    if answer.fault:
        raise _exception(answer)
    return answer


def _received(own: socket.socket) -> _Answer | None:
    """Return the next answer; None if no process is left."""
    # If the last process ended before it took all tasks, the kernel reports that once, before it delivers the last answers.
    for _ in range(2):
        with contextlib.suppress(ConnectionError):
            message = own.recv(_LARGEST_MESSAGE_BYTES)
            return msgspec.msgpack.decode(message, type=_Answer) if message else None
    return None


@contextlib.contextmanager
def _forked(
    own: socket.socket, theirs: socket.socket, prepare: Callable[[], Callable[[str], Result]], threads: int
) -> Iterator[int]:
    """Fork a process that does tasks; give a descriptor that becomes readable when it ends. Kill it after the block.

    It leads a process group of its own: so its children are killed with it, and a terminal's Ctrl-C reaches only the caller,
    which then kills it.
    """
    caller = os.getpid()
    pid = os.fork()
    if not pid:
        _be_a_process(own, theirs, prepare, threads, caller)
    with contextlib.suppress(OSError):  # the process does the same; whichever is first
        os.setpgid(pid, pid)
    ended = os.pidfd_open(pid)
    try:
        yield ended
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ended)


def _be_a_process(
    own: socket.socket, theirs: socket.socket, prepare: Callable[[], Callable[[str], Result]], threads: int, caller: int
) -> NoReturn:
    """Do tasks until there are no more; never return into what the caller was doing."""
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == caller:  # else the caller ended before prctl could notice it
            own.close()
            work = prepare()
            others = [threading.Thread(target=_do_tasks, args=(theirs, work)) for _ in range(threads - 1)]
            for each in others:
                each.start()
            _do_tasks(theirs, work)
            for each in others:
                each.join()
            code = 0
    except BaseException as error:  # noqa: BLE001  every exception is reported to the caller
        with contextlib.suppress(OSError):
            theirs.send(msgspec.msgpack.encode(_fault("", error)))
    finally:
        os._exit(code)


def _do_tasks(theirs: socket.socket, work: Callable[[str], Result]) -> None:
    with contextlib.suppress(ConnectionError):  # the caller has ended
        while message := theirs.recv(_LARGEST_MESSAGE_BYTES):
            task = message.decode()
            try:
                answer = _Answer(task, work(task))
            except BaseException as error:  # noqa: BLE001  as above
                answer = _fault(task, error)
            theirs.send(msgspec.msgpack.encode(answer))


def _fault(task: str, error: BaseException) -> _Answer:
    if isinstance(error, errors.AgentError):
        return _Answer(task, fault=type(error).__name__, text=str(error)[:_LONGEST_TEXT])
    if isinstance(error, OSError):
        return _Answer(
            task, fault="OSError", number=error.errno or 0, text=error.strerror or str(error), file=str(error.filename or "")
        )
    return _Answer(task, fault="RuntimeError", text="".join(traceback.format_exception(error))[-_LONGEST_TEXT:])


def _exception(answer: _Answer) -> Exception:
    """Return the exception that a process reported, of the same class if it is one of ours."""
    kind = getattr(errors, answer.fault, None)
    if isinstance(kind, type) and issubclass(kind, errors.AgentError):
        return kind(answer.text)
    if answer.fault == "OSError":
        return OSError(answer.number, answer.text, answer.file or None)
    return RuntimeError(answer.text)
