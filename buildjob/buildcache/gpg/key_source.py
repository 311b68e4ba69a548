"""Where a key or a passphrase comes from: a file, which is read when it is needed, or a pipe, which is read once, here.

`<(command)` of a shell, `/dev/stdin` and a named pipe give their content once. It is then held in memory; `child.seclude`
says who cannot read it there. Knows no gpg.
"""

import contextlib
import errno
import os
import re
import select
import stat
import time
from pathlib import Path

import msgspec

from buildjob.errors import RequestError

_LARGEST_BYTES = 1 << 20
_LONGEST_SHOWN = 200
"""Characters; a key on one line is longer, in base64, too."""
_PIPE_SECONDS = 60.0
_POLL_SECONDS = 0.05
_DESCRIPTOR = re.compile(r"(?:/dev/fd/|/proc/self/fd/)(\d+)|/dev/(stdin)")
_NO_SUCH_NAME = (errno.ENAMETOOLONG, errno.ENOTDIR)
_GPG_HOME = ("private-keys-v1.d", "pubring.kbx")


class KeySource(msgspec.Struct, frozen=True, kw_only=True):
    """A key or a passphrase, by the option that names it."""

    title: str
    """The option and what it says, for messages."""
    file: Path | None = None
    """To be read when it is needed; None if the content is held."""
    held: bytes = b""
    """What a pipe gave."""

    @property
    def content(self) -> Path | bytes:
        """The file, or the bytes of what cannot be read again."""
        return self.held if self.file is None else self.file

    def __repr__(self) -> str:
        return f"KeySource({self.title!r})"  # never what is held


def find_source(text: str, option: str, *, holds: str = "key") -> KeySource:
    """Return the source that an option names; a pipe is read to its end, for at most a minute.

    `holds` is what is in it: "key" or "passphrase". Raises RequestError, naming the option, if it is not a file with
    something in it that this user can read.
    """
    title, path = f"{option} {text}", Path.cwd() / text
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        if _may_be_secret(text, path, holds):
            raise RequestError(
                f"{option}: there is no file of that name. The value is not shown, as it may be the {holds} itself; "
                "give a file that holds it, on GitLab a variable of type File"
            ) from error
        raise RequestError(f"{title}: {_absence(path, error)}") from error
    if stat.S_ISDIR(status.st_mode):
        raise RequestError(f"{title}: this is a folder; give a file{_export_advice(path)}")
    if stat.S_ISREG(status.st_mode) and not _DESCRIPTOR.fullmatch(text):
        if not os.access(path, os.R_OK):
            raise RequestError(f"{title}: this user can't read it")
        _require_size(status.st_size, title)
        # not resolved: a mounted secret is a link to a folder that is replaced when the secret is renewed
        return KeySource(title=title, file=path)
    if stat.S_ISBLK(status.st_mode) or (stat.S_ISSOCK(status.st_mode) and not _DESCRIPTOR.fullmatch(text)):
        raise RequestError(f"{title}: this is neither a file nor a pipe")
    return KeySource(title=title, held=_read_once(text, title))


def _may_be_secret(text: str, path: Path, holds: str) -> bool:
    """Return whether a name at which there is nothing may be the content that a file was to hold."""
    if "\n" in text or "-----BEGIN" in text or len(text) > _LONGEST_SHOWN:
        return True
    # a passphrase looks like a file's name, but hardly like the path of one in a folder that exists
    return holds == "passphrase" and not ("/" in text and os.path.isdir(path.parent))  # noqa: PTH112  too long a path is no error


def _absence(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, ValueError) or error.errno in _NO_SUCH_NAME:
        return "there is no such file"
    if isinstance(error, FileNotFoundError):
        with contextlib.suppress(OSError):
            return f"it is a link to {path.readlink()}, which does not exist"
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "this user can't read it"
    return error.strerror or str(error)


def _export_advice(path: Path) -> str:
    if not any((path / name).exists() for name in _GPG_HOME):
        return ""
    return f". It is a GnuPG home: gpg --homedir {path} --armor --export-secret-keys KEY > key.asc writes one of its keys"


def _require_size(size: int, title: str) -> None:
    if size == 0:
        raise RequestError(f"{title}: it is empty")
    if size > _LARGEST_BYTES:
        raise RequestError(f"{title}: it is larger than {_LARGEST_BYTES >> 20} MiB, so it is not a key")


def _read_once(text: str, title: str) -> bytes:
    """Return what a pipe gives until its end. Raises RequestError."""
    try:
        descriptor = _open(text)
    except OSError as error:
        raise RequestError(f"{title}: {error.strerror}") from error
    try:
        if os.isatty(descriptor):
            raise RequestError(f"{title}: this is a terminal; give a file or a pipe")
        data = _read_to_end(descriptor, title)
    except OSError as error:
        raise RequestError(f"{title}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if not data:
        raise RequestError(f"{title}: nothing came from it; the command that writes it may have failed")
    _require_size(len(data), title)
    return data


def _open(text: str) -> int:
    """Open a path; one that names a descriptor of this process is duplicated, as sockets cannot be opened again."""
    if found := _DESCRIPTOR.fullmatch(text):
        return os.dup(int(found[1] or 0))
    # otherwise the call waits for the pipe's writer, for ever if there is none
    return os.open(text, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)


def _read_to_end(descriptor: int, title: str) -> bytes:
    data, deadline = bytearray(), time.monotonic() + _PIPE_SECONDS
    is_named = stat.S_ISFIFO(os.fstat(descriptor).st_mode) and not os.get_blocking(descriptor)
    while time.monotonic() < deadline:
        ready, _, _ = select.select([descriptor], [], [], deadline - time.monotonic())
        chunk = os.read(descriptor, 1 << 16) if ready else b""
        if not ready:
            break
        # a named pipe whose writer has not opened it yet looks as if it had ended
        if not chunk and is_named and not data:
            time.sleep(_POLL_SECONDS)
            continue
        data += chunk
        if not chunk or len(data) > _LARGEST_BYTES:
            return bytes(data)
    raise RequestError(f"{title}: nothing more came from it within {_PIPE_SECONDS:.0f} s")
