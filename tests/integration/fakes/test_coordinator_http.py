"""The fake coordinator over HTTP: the statuses and headers that gitlab-runner 19.4 reads (network/gitlab.go)."""

import http.client
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.coordinator.server import Coordinator


class Client:
    """One connection, kept open."""

    def __init__(self, gitlab: Coordinator) -> None:
        host, _, port = gitlab.url.removeprefix("http://").partition(":")
        self.connection = http.client.HTTPConnection(host, int(port), timeout=10)

    def __call__(self, method: str, path: str, body: object = b"", **headers: str) -> tuple[int, Any, dict[str, str]]:
        """Send a request; return status, decoded JSON or bytes, headers."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, content, named)
        answer = self.connection.getresponse()
        told, got = dict(answer.getheaders()), answer.read()
        return answer.status, json.loads(got) if told.get("Content-Type") == "application/json" else got, told


@pytest.fixture
def gitlab() -> Iterator[Coordinator]:
    with Coordinator() as coordinator:
        yield coordinator


@pytest.fixture
def client(gitlab: Coordinator) -> Iterator[Client]:
    made = Client(gitlab)
    yield made
    made.connection.close()


def test_a_runner_registers_and_verifies_with_its_token_only(gitlab: Coordinator, client: Client) -> None:
    for path, good in (("runners", 201), ("runners/verify", 200)):
        assert client("POST", f"/api/v4/{path}", {"token": "wrong"})[0] == 403
        status, told, _ = client("POST", f"/api/v4/{path}", {"token": gitlab.runner_token})
        assert (status, told["token"]) == (good, gitlab.runner_token)


def test_a_job_from_request_to_final_state(gitlab: Coordinator, client: Client) -> None:
    asked = {"token": gitlab.runner_token, "system_id": "s_1"}
    assert client("POST", "/api/v4/jobs/request", asked)[0] == 204
    job = gitlab.submit({"steps": []})
    status, payload, headers = client("POST", "/api/v4/jobs/request", asked)
    assert (status, payload["id"], headers["Content-Type"]) == (201, job.number, "application/json")
    assert gitlab.systems == {"s_1"}
    own, trace = {"JOB_TOKEN": job.token}, f"/api/v4/jobs/{job.number}/trace"
    status, _, headers = client("PATCH", trace, b"hello", Content_Range="0-4", **own)
    assert (status, headers["Range"], headers["Job-Status"]) == (202, "0-5", "running")
    status, _, headers = client("PATCH", trace, b"hello", Content_Range="9-13", **own)
    assert (status, headers["Range"]) == (416, "0-5")
    job.cancel()
    assert client("PATCH", trace, b"!", Content_Range="5-5", **own)[2]["Job-Status"] == "canceling"
    final = {"state": "failed", "failure_reason": "script_failure", "exit_code": 7}
    assert client("PUT", f"/api/v4/jobs/{job.number}", final, **own)[0] == 200
    assert (job.wait(seconds=0).exit_code, job.text) == (7, "hello!")


def test_artifacts_go_up_in_chunks_and_come_down(gitlab: Coordinator, client: Client) -> None:
    job = gitlab.submit({"job_info": {"name": "one"}})
    path, own = f"/api/v4/jobs/{job.number}/artifacts", {"JOB-TOKEN": job.token}
    assert client("GET", path, JOB_TOKEN=job.token)[0] == 404
    pieces = [
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\n',
        b"PK" * 5000,
        b"\r\n--b--\r\n",
    ]
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    client.connection.request("POST", f"{path}?artifact_type=archive", iter(pieces), own | kind, encode_chunked=True)
    answer = client.connection.getresponse()
    assert (answer.status, json.loads(answer.read())) == (201, {"id": 1})
    assert client("GET", path, JOB_TOKEN=job.token)[1] == b"PK" * 5000
    assert job.as_dependency()["artifacts_file"] == {"filename": "a.zip", "size": 10000}


def test_what_is_wrong_is_refused(gitlab: Coordinator, client: Client) -> None:
    job = gitlab.submit({})
    assert client("PUT", f"/api/v4/jobs/{job.number}", {"state": "success"}, JOB_TOKEN="other")[0] == 403
    assert client("PUT", "/api/v4/jobs/7", {}, JOB_TOKEN="x")[0] == 404
    assert client("DELETE", "/api/v4/jobs/request")[0] == 405
    assert client("GET", "/api/v4/version")[0] == 404
    assert client("GET", "/elsewhere")[0] == 404
    assert job.end is None


def test_a_caches_objects_are_kept_under_their_path(client: Client) -> None:
    assert client("GET", "/objects/cache/a.zip")[0] == 404
    assert client("PUT", "/objects/cache/a.zip?X-Amz-Signature=1", b"zip")[0] == 200
    assert client("HEAD", "/objects/cache/a.zip")[0] == 200
    assert client("GET", "/objects/cache/a.zip")[1] == b"zip"


def test_git_clones_a_shallow_copy(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        named = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main"]
        return subprocess.run(["git", *named, *words], check=True, capture_output=True, text=True).stdout

    git("init", "--quiet", str(tmp_path / "work"))
    for number in range(2):
        (tmp_path / "work" / "file").write_text(f"{number}")
        git("-C", str(tmp_path / "work"), "add", ".")
        git("-C", str(tmp_path / "work"), "commit", "--quiet", "-m", f"{number}")
    git("clone", "--quiet", "--bare", str(tmp_path / "work"), str(tmp_path / "all" / "grp" / "proj.git"))
    with Coordinator(repositories=tmp_path / "all") as gitlab:
        git("clone", "--quiet", "--depth", "1", f"{gitlab.url}/grp/proj.git", str(tmp_path / "copy"))
    assert (tmp_path / "copy" / "file").read_text() == "1"
    assert git("-C", str(tmp_path / "copy"), "rev-list", "--count", "HEAD") == "1\n"
