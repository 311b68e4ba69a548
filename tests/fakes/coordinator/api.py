"""Requests of a Runner, its helpers and Git, answered. Every answer has a Content-Length; connections stay open."""

import json
import re
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fakes.coordinator import git, multipart
from tests.fakes.coordinator.jobs import Artifact, Job, TraceGap, Update

if TYPE_CHECKING:
    from tests.fakes.coordinator.server import Coordinator

_TRACE_INTERVAL = {"X-GitLab-Trace-Update-Interval": "1"}
_ROUTES = {
    "runners": {"POST": "register"},
    "runners/verify": {"POST": "verify"},
    "jobs/request": {"POST": "request"},
    "jobs/N": {"PUT": "update"},
    "jobs/N/trace": {"PATCH": "trace"},
    "jobs/N/artifacts": {"POST": "upload", "GET": "download"},
}


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    gitlab: "Coordinator"
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Stay quiet."""

    def do_GET(self) -> None:
        """Answer."""
        self._dispatch()

    do_POST = do_PUT = do_PATCH = do_HEAD = do_DELETE = do_GET  # noqa: N815 (http.server's names)

    def _dispatch(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        self.gitlab.requests.append(f"{self.command} {path}")
        body = self._body()
        if path.startswith("/api/v4/"):
            self._api(path.removeprefix("/api/v4/"), {key: value[0] for key, value in parse_qs(url.query).items()}, body)
        elif path.startswith("/objects/"):
            self._object(path, body)
        elif self.gitlab.repositories is not None:
            status, headers, content = git.answer(
                self.gitlab.repositories, self.command, path, query=url.query, headers=dict(self.headers.items()), body=body
            )
            self._answer(status, content, **headers)
        else:
            self._json(404, {"message": "404 Not Found"})

    def _api(self, path: str, query: dict[str, str], body: bytes) -> None:
        """Answer a call of the job API: 404 for what does not exist, 405 for a method that a path has not."""
        found = re.search(r"(?<=^jobs/)\d+", path)
        verbs = _ROUTES.get(re.sub(r"^jobs/\d+", "jobs/N", path))
        if verbs is None:
            return self._json(404, {"message": "404 Not Found"})
        if self.command not in verbs:
            return self._json(405, {"message": "405 Method Not Allowed"})
        verb = verbs[self.command]
        if found is None:
            sent = json.loads(body or b"{}")
            return {"register": self._register, "verify": self._register, "request": self._request}[verb](sent)
        job = self.gitlab.queue.find(int(found[0]))
        if job is None:
            return self._json(404, {"message": "404 Not Found"})
        if self.headers.get("JOB-TOKEN") != job.token:
            return self._json(403, {"message": "403 Forbidden"}, **{"Job-Status": job.status})
        if verb == "update":
            return self._update(job, json.loads(body))
        if verb == "trace":
            return self._trace(job, body)
        if verb == "upload":
            return self._upload(job, query, body)
        return self._download(job)

    def _register(self, sent: dict[str, Any]) -> None:
        if sent.get("token") != self.gitlab.runner_token:
            return self._json(403, {"message": "403 Forbidden"})
        created = not self.path.endswith("/verify")
        return self._json(201 if created else 200, {"id": 1, "token": self.gitlab.runner_token, "token_expires_at": None})

    def _request(self, sent: dict[str, Any]) -> None:
        if sent.get("token") != self.gitlab.runner_token:
            return self._json(403, {"message": "403 Forbidden"})
        self.gitlab.systems.add(str(sent.get("system_id", "")))
        job = self.gitlab.queue.take()
        if job is None:
            return self._answer(204, b"", **{"X-GitLab-Last-Update": "0"})
        return self._json(201, job.hand_out())

    def _update(self, job: Job, sent: dict[str, Any]) -> None:
        output = sent.get("output") or {}
        update = Update(
            state=str(sent.get("state", "")),
            reason=str(sent.get("failure_reason") or ""),
            exit_code=int(sent.get("exit_code") or 0),
            trace_bytes=output.get("bytesize"),
            trace_checksum=str(output.get("checksum") or ""),
        )
        before = job.status  # a final state must not look like a cancel to its own sender
        status = job.update(update)
        self._json(status, {}, **_TRACE_INTERVAL, **{"Job-Status": before})

    def _trace(self, job: Job, body: bytes) -> None:
        start = int(self.headers.get("Content-Range", "0-").partition("-")[0])
        headers = {"Job-Status": job.status} | _TRACE_INTERVAL
        try:
            length = job.write(start, body)
        except TraceGap as gap:
            return self._json(416, {"message": "416 Range Not Satisfiable"}, **headers, Range=f"0-{gap.there}")
        return self._json(202, {}, **headers, Range=f"0-{length}")

    def _upload(self, job: Job, query: dict[str, str], body: bytes) -> None:
        name, content = multipart.file_of(self.headers.get("Content-Type", ""), body)
        job.artifacts.append(Artifact(name, query.get("artifact_type") or "archive", content))
        self._json(201, {"id": 1})

    def _download(self, job: Job) -> None:
        archive = job.artifact()
        if archive is None:
            return self._json(404, {"message": "404 Not Found"})
        return self._answer(200, archive.content, **{"Content-Type": "application/octet-stream"})

    def _object(self, path: str, body: bytes) -> None:
        """Store or return bytes under a path."""
        if self.command == "PUT":
            self.gitlab.objects[path] = body
            return self._answer(200, b"", ETag='"0"')
        if path in self.gitlab.objects:
            return self._answer(200, self.gitlab.objects[path], ETag='"0"')
        return self._answer(404, b"")

    def _body(self) -> bytes:
        """Read a body by its length or in chunks (artifact uploads)."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(pieces)

    def _json(self, status: int, content: object, **headers: str) -> None:
        self._answer(status, json.dumps(content).encode(), **{"Content-Type": "application/json"} | headers)

    def _answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
