"""Talks to a CDash: sends one file, asks what CDash has of a build. One request for each connection.

Follows redirects to the same CDash only. Knows nothing of spools and of the order of documents. A token is sent only to the
host that it was given for. Obeys: CDash 5.3, SubmissionController.php (PUT, MD5 in lower case) and graphql/schema.graphql.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

import requests
import urllib3.exceptions

from ctest_xml.answers import Answer, read_answer, read_failure
from ctest_xml.identity import Identity

_BLOCK = 1 << 16
_ANSWER_BYTES = 1 << 16
_REDIRECTS = 3

Progress = Callable[[int, int], None]
"""Gets how many bytes were sent, and the size of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The address of a CDash, a project on it, and how to connect."""

    url: str
    """Such as `https://cdash.example.org`; a path is kept, a trailing `/submit.php?…` is removed."""
    project: str
    token: str = ""
    ca_file: str = ""
    """Certificates to trust instead of the system's."""
    connect_seconds: float = 15
    read_seconds: float = 120
    """ctest's own inactivity limit."""

    @property
    def base(self) -> str:
        """The address below which CDash's pages are."""
        return re.sub(r"/(submit\.php.*)?$", "", self.url)

    def __repr__(self) -> str:
        return f"Server(url={self.url!r}, project={self.project!r}, token={'***' if self.token else ''!r})"


class _Body:
    """A file that is being sent: counts what the connection has read of it."""

    def __init__(self, file: BinaryIO, size: int, progress: Progress) -> None:
        self._file = file
        self._size = size
        self._progress = progress
        self.handed_over = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(_BLOCK):
            yield block

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(_BLOCK if size < 0 else size)
        self.handed_over += len(block)
        if block:
            self._progress(self.handed_over, self._size)
        return block


class _Token(requests.auth.AuthBase):
    """Sets the token, or nothing; requests then does not read ~/.netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def md5_of(path: Path) -> str:
    """Return a file's MD5 in lower case, as CDash compares it."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def put(server: Server, path: Path, *, name: str, identity: Identity, progress: Progress) -> Answer:
    """Send a file once and read the answer; never raises for anything the network or the server does."""
    query = {
        "project": server.project,
        "FileName": f"{identity.site}___{identity.build}___{identity.stamp}___XML___{name}",
        "build": identity.build,
        "site": identity.site,
        "stamp": identity.stamp,
        **({"subproject": identity.subproject} if identity.subproject else {}),
        "MD5": md5_of(path),
    }
    address = requests.Request("PUT", f"{server.base}/submit.php", params=query).prepare().url or ""
    answer, location = _put(server, address, path, progress)
    for _ in range(_REDIRECTS):
        onward = urljoin(address, location)
        if not location or not _is_same_cdash(address, onward):
            break
        address = onward
        answer, location = _put(server, address, path, progress)
    return answer


def _put(server: Server, address: str, path: Path, progress: Progress) -> tuple[Answer, str]:
    size = path.stat().st_size
    with path.open("rb") as file, requests.Session() as session:
        body = _Body(file, size, progress)
        try:
            with session.put(
                address,
                data=body,
                headers={"Content-Type": "text/xml", "Connection": "close"},
                auth=_Token(server.token),
                timeout=(server.connect_seconds, server.read_seconds),
                allow_redirects=False,
                stream=True,
                verify=server.ca_file or True,
            ) as response:
                location = response.headers.get("Location", "") if response.is_redirect else ""
                body_of_answer = response.raw.read(_ANSWER_BYTES, decode_content=True) or b""
                return read_answer(response.status_code, body_of_answer, location=location), location
        except (OSError, ValueError, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            is_tls = isinstance(error, requests.exceptions.SSLError)
            return read_failure(error, handed_over=body.handed_over, size=size, is_tls=is_tls), ""


def _is_same_cdash(old: str, new: str) -> bool:
    """Return whether a redirect stays with the CDash that file and token are for: same host, submit.php, no less safe."""
    before, after = urlsplit(old), urlsplit(new)
    safe = after.scheme == "https" or (after.scheme == before.scheme == "http")
    return safe and after.hostname == before.hostname and after.path.endswith("/submit.php")


_QUERY = """query($project: String!, $build: String!, $stamp: String!, $site: String!) {
  project(name: $project) { builds(filters: {all: [{eq: {name: $build}}, {eq: {stamp: $stamp}},
    {has: {site: {eq: {name: $site}}}}]}) { edges { node { id
      configure { returnValue } buildErrorsCount passedTestsCount
      notes(first: 1) { edges { node { name } } } files(first: 1) { edges { node { name } } } } } } } }"""


def stored_documents(server: Server, identity: Identity) -> dict[str, bool] | None:
    """Ask CDash which documents of a build it has stored; None: unknown (no answer, no right to ask, no such build).

    True proves that CDash has a document. False proves nothing: the document may wait in CDash's queue for hours.
    """
    variables = {"project": server.project, "build": identity.build, "stamp": identity.stamp, "site": identity.site}
    try:
        with requests.post(
            f"{server.base}/graphql",
            json={"query": _QUERY, "variables": variables},
            auth=_Token(server.token),
            timeout=(server.connect_seconds, server.read_seconds),
            allow_redirects=False,
            verify=server.ca_file or True,
        ) as response:
            edges = response.json()["data"]["project"]["builds"]["edges"]
            return _documents_of(edges[0]["node"]) if response.status_code == 200 else None
    except (OSError, ValueError, KeyError, IndexError, TypeError, requests.RequestException):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectAnswer:
    """What a CDash says when it is asked for a project."""

    knows_project: bool = False
    """It shows the project to this token; False proves nothing, as a token may have the right to submit only."""
    is_refused: bool = False
    fault: str = ""
    """Why there is no answer; empty if there is one."""


def ask_project(server: Server) -> ProjectAnswer:
    """Ask CDash for the server's project; changes nothing there, and never raises for what the network does."""
    query = "query($project: String!) { project(name: $project) { id } }"
    try:
        with requests.post(
            f"{server.base}/graphql",
            json={"query": query, "variables": {"project": server.project}},
            auth=_Token(server.token),
            timeout=(server.connect_seconds, server.read_seconds),
            allow_redirects=False,
            verify=server.ca_file or True,
        ) as response:
            if response.status_code in {401, 403}:
                return ProjectAnswer(is_refused=True)
            if response.status_code != 200:
                return ProjectAnswer(fault=f"its answer is {response.status_code}")
            answer = response.json()
    except (OSError, ValueError, requests.RequestException) as error:
        return ProjectAnswer(fault=f"no answer that can be read: {error}"[:300])
    data = answer.get("data") if isinstance(answer, dict) else None
    return ProjectAnswer(knows_project=isinstance(data, dict) and data.get("project") is not None)


def _documents_of(node: dict[str, Any]) -> dict[str, bool]:
    def counted(name: str) -> bool:
        count = node.get(name)
        return isinstance(count, int) and count >= 0  # null or -1 until CDash has parsed the file

    def listed(name: str) -> bool:
        return bool((node.get(name) or {}).get("edges"))

    return {
        "Configure.xml": node.get("configure") is not None,
        "Build.xml": counted("buildErrorsCount"),
        "Test.xml": counted("passedTestsCount"),
        "Notes.xml": listed("notes"),
        "Upload.xml": listed("files"),
    }
