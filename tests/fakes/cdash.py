"""A CDash on loopback: its protocol as of 5.3 (submit.php by PUT, GraphQL), with faults on demand. No database, no pages.

    with CDash(faults={"Build.xml": ["500 after"]}) as cdash:
        ... cdash.url ... cdash.taken

A fault is consumed by one request for that document; "before" means the file was not taken, "after" that it was.
"""

import hashlib
import json
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Taken:
    """A file that CDash has stored."""

    name: str
    body: bytes
    query: dict[str, str]


@dataclass
class CDash:
    """The server and all it saw."""

    faults: dict[str, list[str]] = field(default_factory=dict)
    token: str = ""
    """Not empty: wanted of every request."""
    may_ask: bool = True
    """Whether the token may ask by GraphQL."""
    listener: socket.socket | None = None
    """A bound socket to serve on, for instance one in another network namespace; None: a free port of loopback."""
    parsed: bool = True
    """Whether what was taken shows in GraphQL at once, or waits in the queue."""
    taken: list[Taken] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """Method and path of each request, without the query."""
    authorizations: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.closing = threading.Event()
        handler = type("Handler", (_Handler,), {"fake": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler, bind_and_activate=self.listener is None)
        if self.listener:
            self._server.socket.close()
            self._server.socket = self.listener
            self._server.server_address = self.listener.getsockname()[:2]
            self._server.server_activate()
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self._server.server_address[0]!s}:{self.port}"

    @property
    def port(self) -> int:
        """Its port."""
        return int(self._server.server_address[1])

    def names(self) -> list[str]:
        """Return the documents taken, in order."""
        return [file.name for file in self.taken]

    def fault(self, name: str) -> str:
        """Return the next fault planned for a document."""
        planned = self.faults.get(name) or []
        return planned.pop(0) if planned else ""


class _Handler(BaseHTTPRequestHandler):
    fake: CDash
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Stay quiet."""

    def do_PUT(self) -> None:
        address = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        name = query.get("FileName", "").rpartition("___")[2]
        fault = self._note(name)
        if fault == "413 early":
            self._answer(413, b"too large")
            self.close_connection = True
            return
        if fault.startswith("redirect "):
            self._read()
            self._answer(307, b"", location=f"{fault.removeprefix('redirect ')}?{address.query}")
            return
        if fault == "reset within":
            self.rfile.read(1 << 16)  # a reader of more would have its socket's buffer grow, until it holds all the rest
            self._drop()
            return
        body = self._read()
        if not fault.endswith("before") and not self._refused(query, body):
            self.fake.taken.append(Taken(name, body, query))
            self._afterwards(fault)
            return
        if fault.endswith("before"):
            self._afterwards(fault)

    def _refused(self, query: dict[str, str], body: bytes) -> bool:
        if self.fake.token and self.headers.get("Authorization") != f"Bearer {self.fake.token}":
            self._json(403, {"status": 1, "description": "Invalid Token"})
            return True
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        if query.get("MD5", digest) != digest:
            self._json(400, {"status": 1, "description": f"md5 mismatch. expected: {query['MD5']}, received: {digest}"})
            return True
        return False

    def _afterwards(self, fault: str) -> None:
        kind = fault.partition(" ")[0]
        if kind == "hang":
            self.fake.closing.wait(60)
            self._drop()
        elif kind == "drop":
            self._drop()
        elif kind == "garbage":
            self._answer(200, b"<html>\x00 welcome to the proxy")
        elif kind == "reject":
            self._json(400, {"status": 1, "description": "XML validation failed"})
        elif kind.isdigit():
            self._answer(int(kind), b"<h1>oh</h1>")
        else:
            number = "" if kind == "deferred" else "<buildId>4711</buildId>"
            message = "Database is unavailable." if kind == "deferred" else ""
            text = f'<cdash version="5.3.0"><message>{message}</message><status>OK</status>{number}</cdash>'
            self._answer(200, text.encode(), slowly=kind == "slow")

    def do_POST(self) -> None:
        self._note("")
        asked = json.loads(self._read())["variables"]
        if not self.fake.may_ask:
            self._json(200, {"errors": [{"message": "This action is unauthorized."}], "data": {"project": None}})
            return
        names = [
            file.name
            for file in self.fake.taken
            if [file.query.get(key) for key in ("build", "site", "stamp")]
            == [asked.get(key) for key in ("build", "site", "stamp")]
        ]
        shown = set(names) if self.fake.parsed else set()
        node = {
            "id": "4711",
            "configure": {"returnValue": 0} if "Configure.xml" in shown else None,
            "buildErrorsCount": 0 if "Build.xml" in shown else -1,
            "passedTestsCount": 0 if "Test.xml" in shown else None,
            "notes": {"edges": [{"node": {"name": "n"}}] if "Notes.xml" in shown else []},
            "files": {"edges": [{"node": {"name": "f"}}] if "Upload.xml" in shown else []},
        }
        self._json(200, {"data": {"project": {"builds": {"edges": [{"node": node}] if names else []}}}})

    def _note(self, name: str) -> str:
        self.fake.requests.append(f"{self.command} {urlsplit(self.path).path}")
        self.fake.authorizations.append(self.headers.get("Authorization", ""))
        return self.fake.fault(name)

    def _read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _json(self, status: int, body: object) -> None:
        self._answer(status, json.dumps(body).encode())

    def _answer(self, status: int, body: bytes, *, location: str = "", slowly: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        for start in range(0, len(body), 1 if slowly else len(body) or 1):
            self.wfile.write(body[start : start + (1 if slowly else len(body))])
            self.wfile.flush()
