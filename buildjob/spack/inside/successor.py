"""Runs inside Spack's own Python, for `install.py`: when a package is installed, a copy of that process is left to pack it.

Spack takes half a second of a core to start, and this one has been started. The copy is made when the last process of the
build has ended; it has a session of its own and nothing of the build's output, and waits as `pack.py` does. Its first line
of output is "successor PID". POSIX only.
"""

import os
import signal
import sys
import traceback

import pack


def leave(reads, writes):
    """Leave the process, with these descriptors as its input and output; return when it has said its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    between = os.fork()
    if between == 0:
        try:
            leave_from_between(reads, writes)
        finally:
            os._exit(1)
    os.waitpid(between, 0)


def leave_from_between(reads, writes):
    """A process in between that ends at once: then the agent becomes the parent of the one that is left."""
    ready, is_ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ready)
        become_packer(reads, writes, is_ready)
    os.close(is_ready)
    os.read(ready, 1)  # it has left the build's process group: nothing that the group receives is for it
    os.write(writes, b"successor %d\n" % pid)
    os._exit(0)


def become_packer(reads, writes, is_ready):
    code = 1
    try:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(reads, 0)
        os.dup2(writes, 1)
        os.dup2(writes, 2)
        for descriptor in (reads, writes, is_ready):
            os.close(descriptor)
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)  # the old one may have seen the end of another input
        pack.main()
        code = 0
    except BaseException:  # of any kind: the copy must not go on as the program that it is a copy of
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)
