"""Finds what a run left, to build the same again: in a folder, in a zip archive, or at the address of a GitLab job.

Everything that is read may be another's: it is bounded, and of an archive only plain files below a run folder are taken.
Nothing of it is run here. Source: GitLab, "Job artifacts API".
"""

import errno
import http.client
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from buildjob.errors import FetchError, RequestError
from buildjob.run_folder import REPRODUCE, SPEC, TELEMETRY

_LARGEST_BYTES = 2 << 30
_LARGEST_FILE_BYTES = 64 << 20
_MOST_UNPACKED_BYTES = 512 << 20
_MOST_FILES = 5000
_SECONDS = 60.0
_MOST_NAMED = 10
_SHORT_HASH = 7
"""The characters of a hash in a folder's name."""
_TOKEN = "GITLAB_PRIVATE_TOKEN"  # noqa: S105  a variable's name
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_IN_A_PATH = "/%:@!$&'()*+,;=~"
"""What stays as it is in an address; all else is written in hexadecimal digits, as a browser sends it."""
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""Those that GitLab packs with."""


def run_folder_of(source: str, scratch: Path, *, dag_hash: str, variables: Mapping[str, str]) -> Path:
    """Return the run folder that a source holds; what lies elsewhere is copied into `scratch`.

    If it holds several, `dag_hash` chooses. Raises RequestError if it holds none, FetchError if it cannot be had.
    """
    if "://" in source:
        archive = scratch / "artifacts.zip"
        _download(artifacts_url(source), archive, token=variables.get(_TOKEN, ""))
        return _only(source, _unpacked(archive, scratch / "artifacts", source), dag_hash)
    path = _existing(source)
    if not path.is_dir():
        if not path.is_file() or not zipfile.is_zipfile(path):
            raise RequestError(
                f"--reproduce {source}: neither a folder nor a zip archive, as GitLab packs a job's artifacts"
            )
        return _only(source, _unpacked(path, scratch / "artifacts", source), dag_hash)
    return _only(source, path.resolve(), dag_hash)


def _existing(source: str) -> Path:
    """Return the path that a source names. Raises RequestError if nothing is there, or if this user can't read it."""
    path = Path(source)
    try:
        path.stat()
    except OSError as error:
        reason = "there is no such file or folder" if error.errno == errno.ENOENT else error.strerror
        raise RequestError(
            f"--reproduce {source}: {reason}; give a run folder, a folder or zip archive with one, or the address of a job, "
            "which begins with https://"
        ) from error
    if not os.access(path, os.R_OK):
        raise RequestError(f"--reproduce {source}: this user can't read it")
    return path


def artifacts_url(text: str) -> str:
    """Return the address of a job's artifacts: of its page on GitLab, or of the artifacts themselves.

    Raises RequestError for an address of another kind.
    """
    try:
        url = urllib.parse.urlsplit(text)
        # raises ValueError for a port that is not a number or too large, and for a host name that no server can have
        is_whole = bool((url.hostname or "").encode("idna")) and url.port != 0
    except ValueError as error:
        raise RequestError(f"--reproduce {text}: this is not an address: {error}") from error
    parts = [part for part in url.path.split("/") if part]
    if url.scheme not in {"http", "https"} or not is_whole or url.username is not None:
        raise RequestError(f"--reproduce {text}: give an http or https address without a user in it")
    query = url.query
    if "-" in parts and "api" not in parts[:1]:
        at = parts.index("-")
        if parts[at + 1 : at + 2] != ["jobs"] or not parts[at + 2 : at + 3]:
            raise RequestError(f"--reproduce {text}: this is not the page of a job")
        parts, query = [*parts[: at + 3], "artifacts", "download"], ""
    path = urllib.parse.quote("/" + "/".join(parts), safe=_IN_A_PATH)
    return urllib.parse.urlunsplit((url.scheme, url.netloc, path, urllib.parse.quote(query, safe=_IN_A_PATH + "?"), ""))


class SameServer(urllib.request.HTTPRedirectHandler):
    """Leaves the token behind where a redirect leads elsewhere, such as to an object store, or out of TLS."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, PLR0913, PLR0917  the library's signature
        """Return the request to the new address."""
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None and urllib.parse.urlsplit(newurl)[:2] != urllib.parse.urlsplit(req.full_url)[:2]:
            new.remove_header("Private-token")
        return new


def _download(url: str, target: Path, *, token: str) -> None:
    parts = urllib.parse.urlsplit(url)
    headers = {}
    token = token.strip()  # of a file that ends with a line
    if not (token.isascii() and token.isprintable()):  # the message of the library would quote it
        raise RequestError(f"{_TOKEN}: this is not a token: it has characters that a header can't have")
    if token and (parts.scheme == "https" or parts.hostname in _LOOPBACK):
        headers["Private-Token"] = token
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  the scheme was checked
    try:
        with urllib.request.build_opener(SameServer).open(request, timeout=_SECONDS) as answer, target.open("wb") as file:
            left = _LARGEST_BYTES
            while chunk := answer.read(1 << 20):
                left -= len(chunk)
                if left < 0:
                    raise FetchError(f"{url}: more than {_LARGEST_BYTES >> 30} GiB; give the artifacts as a folder")
                file.write(chunk)
            if answer.length:  # the rest of what was announced
                raise ConnectionError(f"the connection was lost, {answer.length} bytes are missing")
    except urllib.error.HTTPError as error:
        advice = f"; set {_TOKEN} if the project is not public" if error.code in {401, 403, 404} else ""
        raise FetchError(f"{url}: HTTP {error.code} {' '.join(str(error.reason).split())}{advice}") from error
    except (OSError, http.client.HTTPException, ValueError, OverflowError) as error:  # the last two by bad redirections
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise FetchError(f"{url}: {reason}; a retry may help") from error
    if not zipfile.is_zipfile(target):
        raise FetchError(f"{url}: what came is not a zip archive; set {_TOKEN} if the project is not public")


def _unpacked(archive: Path, folder: Path, source: str) -> Path:
    """Unpack what is needed of an archive; return the folder."""
    left = _MOST_UNPACKED_BYTES
    try:
        with zipfile.ZipFile(archive) as packed:
            for number, member in enumerate(_needed(packed)):
                left -= member.file_size
                if number >= _MOST_FILES or left < 0:
                    raise RequestError(
                        f"--reproduce {source}: more than {_MOST_FILES} files or {_MOST_UNPACKED_BYTES >> 20} MiB to unpack"
                        "; unpack it and give the folder of the run"
                    )
                target = folder / member.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(member) as file, target.open("wb") as out:
                    shutil.copyfileobj(file, out)
    # damaged archives raise far more than BadZipFile
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise RequestError(f"--reproduce {source}: the archive can't be read: {error}") from error
    folder.mkdir(exist_ok=True)
    return folder


def _needed(packed: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    for member in packed.infolist():
        path = PurePosixPath(member.filename)
        is_plain = not path.is_absolute() and ".." not in path.parts and not member.is_dir()
        wanted = path.name in {TELEMETRY, SPEC} or REPRODUCE in path.parts
        if is_plain and wanted and member.file_size <= _LARGEST_FILE_BYTES:
            if member.compress_type not in _METHODS:
                raise zipfile.BadZipFile(f"{member.filename}: packed in a way that GitLab does not use")
            yield member


def _only(source: str, folder: Path, dag_hash: str) -> Path:
    """Return the run folder at or below a folder; of several runs of one spec the last one."""
    runs = sorted(path.parent for path in _documents(folder) if (path.parent / SPEC).is_file())
    if not runs:
        raise RequestError(
            f"--reproduce {source}: no run of a Spack package is in it (a folder with {TELEMETRY} and {SPEC})"
        )
    hashes = {path: _hash_of(path) for path in runs}
    found = [path for path in runs if hashes[path].startswith(dag_hash.lstrip("/"))]
    if len({hashes[path] for path in found}) != 1:
        names = ", ".join(path.name for path in (found or runs)[:_MOST_NAMED])
        wrong = f"{len(found)} specs" if found else "no spec"
        said = f"it has {wrong} with a hash that begins with {dag_hash!r}" if dag_hash else f"it holds {len(found)} runs"
        raise RequestError(f"--reproduce {source}: {said}, choose one by --hash: {names}")
    return max(found, key=_end_of)


class _Spec(msgspec.Struct, frozen=True):
    hash: str = ""


class _Run(msgspec.Struct, frozen=True):
    """What is read of a telemetry document here."""

    ended_at: str = ""
    spec: _Spec = _Spec()


def _read(folder: Path) -> _Run:
    try:
        return msgspec.json.decode((folder / TELEMETRY).read_bytes(), type=_Run)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return _Run()  # who reads it whole will say what is wrong


def _end_of(folder: Path) -> str:
    return _read(folder).ended_at


def _hash_of(folder: Path) -> str:
    """Return the hash of a run's spec; of a document that can't be read, what its folder says of it."""
    known = _read(folder).spec.hash
    return known or next((part for part in reversed(folder.name.split("-")) if len(part) == _SHORT_HASH), folder.name)


def _documents(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        if REPRODUCE in folders:
            folders.remove(REPRODUCE)
        if TELEMETRY in names:
            yield Path(parent) / TELEMETRY
