"""Clause: `pipelines show`, `check` and `coverage` at the command line, on files, folders and servers that answer oddly."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipelines.mirrors import MANIFEST, VERIFIED, Mirror
from tests.labs.checkout import ROOT
from tests.labs.sizing import document, upload

GRAPH = ROOT / "tests/data/job_graph/sample.json"
ZLIB, LIBHELLO, HELLO = "z" * 32, "l" * 32, "a" * 32


def farm(verb: str, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "spack_farm/__main__.py"), "pipelines", verb, *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONUTF8": "1", **variables},
    )  # fmt: skip


def mirror_in(folder: Path, *hashes: str) -> Path:
    """Write a build cache whose index lists these."""
    index = gzip.compress(json.dumps({"database": {"installs": {each: {"spec": {}} for each in hashes}}}).encode())
    checksum = hashlib.sha256(index).hexdigest()
    blob = folder / f"blobs/sha256/{checksum[:2]}/{checksum}"
    manifest = folder / MANIFEST
    for path in (blob, manifest):
        path.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(index)
    manifest.write_text(json.dumps({"version": 3, "data": [{"checksum": checksum, "compression": "gzip"}]}))
    return folder


def measured(folder: Path, dag_hash: str, **changes: Any) -> None:
    sample = json.loads((ROOT / "tests/data/telemetry/sample.json").read_text())
    sample["spec"]["hash"] = dag_hash
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{len(list(folder.iterdir()))}.json").write_text(json.dumps(sample | changes))


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, Any]]]:
    """A server that answers what a test puts under a path: (code, body); it remembers the requests."""
    answers: dict[str, Any] = {"seen": []}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            answers["seen"].append((self.command, self.path, self.headers.get("PRIVATE-TOKEN"), self.rfile.read(length)))
            code, body = answers.get(self.path, (404, b""))
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815  the server's own name

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", answers
        running.shutdown()


def test_a_graph_is_shown_as_text_json_and_page(tmp_path: Path) -> None:
    (tmp_path / "job-graph.json").write_bytes(GRAPH.read_bytes())
    done = farm("show", tmp_path, "--page", tmp_path / "g.html", "--core-hour", "0.04")
    assert (done.returncode, done.stderr) == (0, "")
    assert "critical path" in done.stdout
    assert "cost: " in done.stdout
    assert (tmp_path / "g.html").read_text().startswith("<!doctype html>")
    shown = json.loads(farm("show", GRAPH, "--json", "--diff", GRAPH).stdout)
    assert (shown["version"], shown["stack"], shown["differences"]) == (1, "examples", [])
    assert farm("show", GRAPH, "--diff", GRAPH).stdout == "no difference\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["show", "nowhere.json"], 2, "nowhere.json can't be read: No such file"),
        (["show", "broken.json"], 1, "broken.json: not a job graph"),
        (["show", GRAPH, "--diff", "nowhere"], 2, "nowhere can't be read"),
        (["show", GRAPH, "--page", "no/folder.html"], 2, "--page no/folder.html: can't be written"),
        (["show", GRAPH, "--core-hour", "-1"], 2, "can't be negative"),
        (["show", GRAPH, "--core-hour", "nan"], 2, "without an end"),
        (["show", GRAPH, "--gib-hour", "inf"], 2, "without an end"),
        (["check", "circle.yml"], 1, "circle.yml is no YAML: an alias stands within what it names"),
        (["coverage", GRAPH, "nowhere"], 2, "nowhere: there is no such folder"),
        (["coverage", GRAPH, "ftp://x/y"], 2, "a mirror is a folder"),
        (["coverage", GRAPH, "."], 1, "has no index"),
        (["coverage", GRAPH, "http://127.0.0.1:9/m"], 4, "http://127.0.0.1:9/m/v3"),
        (["check", "nowhere.yml"], 2, "nowhere.yml can't be read"),
        (["check", "broken.json"], 1, "broken.json is no YAML"),
        (["check", "list.yml"], 1, "list.yml is no pipeline"),
        (["check", "empty"], 2, "empty: there is no YAML in it"),
        (["check", "good.yml", "--most-memory", "much"], 2, "'much' is no quantity"),
        (["check", "good.yml", "--gitlab", "https://x"], 2, "--project and --token-file"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(
    arguments: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "circle.yml").write_text("a: &a {b: [*a]}\n")
    (tmp_path / "list.yml").write_text("[1]")
    (tmp_path / "good.yml").write_text("a: {script: ['true']}")
    (tmp_path / "empty").mkdir()
    done = farm(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_coverage_joins_index_verification_history_and_the_stacks_own_mirror(tmp_path: Path) -> None:
    mirror = mirror_in(tmp_path / "m", ZLIB)
    (mirror / VERIFIED).parent.mkdir(parents=True)
    (mirror / VERIFIED).write_bytes((ROOT / "tests/data/verified/sample.json").read_bytes())
    measured(tmp_path / "h", LIBHELLO, outcome="build_failed", ended_at="2026-11-02T00:00:00Z")
    measured(tmp_path / "h", LIBHELLO, outcome="built", ended_at="2026-11-01T00:00:00Z")
    (tmp_path / "h/odd.json").write_text("[]")
    done = farm("coverage", GRAPH, mirror, "--history", tmp_path / "h", "--page", tmp_path / "c.html", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    rows = {row["name"]: (row["state"], row["why"]) for row in shown["rows"]}
    assert rows["zlib"] == ("verified", "")
    assert rows["libhello"] == ("failed", "build_failed")
    assert rows["hello-app"] == ("blocked", "needs libhello/lllllll")
    assert [fix["name"] for fix in shown["fixes"]] == ["libhello"]
    assert shown["notes"] == [
        "last verified at 2026-11-30T08:00:00+00:00",
        "builds: 2 measurements read, 1 files that are none",
    ]
    assert "libhello" in (tmp_path / "c.html").read_text()
    own = farm("coverage", GRAPH, mirror, "--own-mirror", mirror_in(tmp_path / "own", HELLO), "--json")
    assert {row["name"]: row["state"] for row in json.loads(own.stdout)["rows"]}["hello-app"] == "own_mirror"


def test_coverage_goes_by_the_agents_word_before_the_drivers(tmp_path: Path) -> None:
    job = {"id": "7", "project": "group/farm", "url": "https://gitlab/7"}
    measured(tmp_path / "h", LIBHELLO, outcome="built", job=job, ended_at="2026-11-02T00:00:00Z")
    measured(tmp_path / "h", LIBHELLO, outcome="script_failed", job=job, ended_at="2026-11-02T00:00:09Z")
    measured(tmp_path / "h", HELLO, outcome="script_failed", job=job | {"id": "8"}, ended_at="2026-11-02T00:00:00Z")
    done = farm("coverage", GRAPH, mirror_in(tmp_path / "m"), "--history", tmp_path / "h", "--json")
    rows = {row["name"]: row["state"] for row in json.loads(done.stdout)["rows"]}
    assert (rows["libhello"], rows["hello-app"]) == ("waiting", "failed")


@pytest.mark.parametrize("kind", ["path", "url", "document"])
def test_the_history_of_sizing_says_what_failed(tmp_path: Path, kind: str) -> None:
    """`sizing` reads its own store, in a process of its own; the two share a document."""
    for name, key, outcome in (("zlib", ZLIB, "built"), ("libhello", LIBHELLO, "build_failed")):
        made = document(name, outcome=outcome, spec={"hash": key})
        upload(made, tmp_path / "mirror")
    store = tmp_path / "history.sqlite"
    sizing = [sys.executable, str(ROOT / "spack_farm/__main__.py"), "sizing"]
    subprocess.run([*sizing, "ingest", "--history", store, tmp_path / "mirror"], check=True, capture_output=True)
    place = {"path": str(store), "url": f"sqlite:///{store}", "document": str(tmp_path / "builds.json")}[kind]
    if kind == "document":
        printed = subprocess.run([*sizing, "builds", "--history", store], check=True, capture_output=True).stdout
        Path(place).write_bytes(printed)
        jsonschema.validate(json.loads(printed), json.loads((ROOT / "docs/reference/last-builds.schema.json").read_text()))
    done = farm("coverage", GRAPH, mirror_in(tmp_path / "m"), "--history", place, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    rows = {row["name"]: (row["state"], row["why"]) for row in shown["rows"]}
    assert (rows["zlib"][0], rows["libhello"]) == ("waiting", ("failed", "build_failed"))
    assert rows["hello-app"] == ("blocked", "needs libhello/lllllll")
    assert shown["notes"][-1] == "builds: the last ones of 2 specs, from the history of sizing"


@pytest.mark.parametrize(
    ("place", "code", "words"),
    [
        ("nowhere", 2, "--history nowhere: No such file"),
        ("text", 2, "neither a history of 'spack-farm sizing' nor"),
        ("newer.json", 2, "version 2 is of another spack-farm"),
        ("mysql://host/name", 2, "give a path, sqlite:///PATH or postgresql://HOST/NAME"),
        ("damaged.sqlite", 1, "the history can't be read: "),
        ("postgresql://127.0.0.1:1/history", 1, "the history can't be read: "),
    ],
)
def test_a_history_that_cannot_be_read_is_one_line(
    place: str, code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("what?")
    (tmp_path / "newer.json").write_text('{"version": 2, "builds": {}}')
    (tmp_path / "damaged.sqlite").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    done = farm("coverage", GRAPH, mirror_in(tmp_path / "m"), "--history", place)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_sample_of_last_builds_keeps_to_its_schema_and_is_read(tmp_path: Path) -> None:
    sample = ROOT / "tests/data/last_builds/sample.json"
    schema = json.loads((ROOT / "docs/reference/last-builds.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(sample.read_text()), schema)
    done = farm("coverage", GRAPH, mirror_in(tmp_path / "m"), "--history", sample)
    assert done.returncode == 0, done.stderr


def test_a_build_that_writes_no_more_is_not_running(tmp_path: Path) -> None:
    measured(tmp_path / "h", LIBHELLO, complete=False)
    measured(tmp_path / "h", HELLO, complete=False)
    os.utime(tmp_path / "h/0.json", (1, 1))
    done = farm("coverage", GRAPH, mirror_in(tmp_path / "m"), "--history", tmp_path / "h", "--json")
    rows = {row["name"]: row["state"] for row in json.loads(done.stdout)["rows"]}
    assert (rows["libhello"], rows["hello-app"]) == ("waiting", "running")


def test_a_mirror_of_20000_binaries_takes_three_requests(tmp_path: Path) -> None:
    mirror = Mirror(str(mirror_in(tmp_path, *(f"{n:032}" for n in range(20_000)))))
    assert len(mirror.binaries()) == 20_000
    assert mirror.verified() is None
    assert mirror.requests == 3


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_mirrors_by_address(scheme: str, tmp_path: Path, server: tuple[str, dict[str, Any]]) -> None:
    mirror_in(tmp_path, ZLIB)
    url, answers = server
    for path in tmp_path.rglob("*"):
        if path.is_file():
            answers[f"/m/{path.relative_to(tmp_path)}"] = (200, path.read_bytes())
    mirror = Mirror(f"{url}/m" if scheme == "http" else tmp_path.as_uri())
    assert mirror.binaries() == {ZLIB}
    assert mirror.verified() is None


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / MANIFEST).write_text("{}"), "is no manifest"),
        (lambda folder: (folder / MANIFEST).write_text('{"data": []}'), "is no manifest"),
        (lambda folder: blob_of(folder).unlink(), "a blob that is not there"),
        (lambda folder: blob_of(folder).write_bytes(b"x"), "another checksum"),
    ],
)
def test_a_damaged_mirror_says_what_mends_it(damage: Any, words: str, tmp_path: Path) -> None:
    mirror_in(tmp_path, ZLIB)
    damage(tmp_path)
    done = farm("coverage", GRAPH, tmp_path)
    assert done.returncode == 1
    assert words in done.stderr
    assert "spack-farm publish index" in done.stderr


def blob_of(folder: Path) -> Path:
    return next(path for path in (folder / "blobs").rglob("*") if path.is_file())


def test_a_report_of_a_later_version_is_not_read(tmp_path: Path) -> None:
    mirror_in(tmp_path)
    (tmp_path / VERIFIED).parent.mkdir(parents=True)
    (tmp_path / VERIFIED).write_text('{"version": 2, "at": ""}')
    assert "has version 2" in farm("coverage", GRAPH, tmp_path).stderr


def test_the_sample_of_a_report_keeps_to_its_schema() -> None:
    schema = json.loads((ROOT / "docs/reference/verified.schema.json").read_text())
    jsonschema.validate(json.loads((ROOT / "tests/data/verified/sample.json").read_text()), schema)


def test_check_names_faults_of_schema_limits_rules_and_graph(tmp_path: Path) -> None:
    pipeline = tmp_path / "p.yml"
    pipeline.write_text(
        "stages: [build]\n"
        "a: {stage: build, script: ['true'], tags: [spak], variables: {KUBERNETES_MEMORY_REQUEST: 65G}}\n"
        "b: {script: !reference [a, script], needs: [{job: c}]}\n"
        "d: {scrpt: ['true']}\n"
    )
    done = farm("check", pipeline, "--tag", "spack", "--most-memory", "64G", "--graph", GRAPH)
    assert done.returncode == 1, done.stderr
    for words in (
        "a: no runner has the tag spak",
        "KUBERNETES_MEMORY_REQUEST is 65G, more than",
        "b: needs c, which is no job of this pipeline",
        "is in no pipeline",
        "d",
    ):
        assert words in done.stdout
    assert "1 pipeline, 3 jobs," in done.stderr
    pipeline.write_text("a: {script: ['true']}\n")
    assert farm("check", tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ((200, b'{"valid": true, "errors": []}'), 0, ""),
        ((200, b'{"valid": false, "errors": ["jobs:a\\nis bad"]}'), 1, "GitLab: jobs:a is bad"),
        ((200, b'{"valid": false}'), 1, "invalid without a reason"),
        ((401, b""), 4, "answers 401"),
        ((200, b"<html>"), 4, ""),
        ((200, b"[]"), 4, "is not GitLab's"),
    ],
)  # fmt: skip
def test_gitlab_itself_is_asked(
    answer: tuple[int, bytes], code: int, words: str, tmp_path: Path, server: tuple[str, dict[str, Any]]
) -> None:
    url, answers = server
    answers["/api/v4/projects/group%2Fproject/ci/lint"] = answer
    (tmp_path / "p.yml").write_text("a: {script: ['true']}\n")
    (tmp_path / "token").write_text("secret-token\n")
    done = farm(
        "check", tmp_path / "p.yml", "--gitlab", url, "--project", "group/project", "--token-file", tmp_path / "token"
    )
    assert done.returncode == code
    assert words in done.stdout + done.stderr
    assert "secret-token" not in done.stdout + done.stderr
    ((method, _, token, body),) = answers["seen"]
    assert (method, token, json.loads(body)) == ("POST", "secret-token", {"content": "a: {script: ['true']}\n"})


def test_the_request_for_a_cell_has_what_it_includes(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/ci.yaml").write_text("ci: {}\n")
    stack = '[[stack]]\nname = "s"\npackages = ["zlib"]\ninclude = ["configs/ci.yaml", "/etc/theirs", "gone.yaml"]\n'
    (tmp_path / "stacks.toml").write_text(stack)
    done = farm("generate", tmp_path / "stacks.toml", "--cell", "s", "--print-request", "--mirror", "s3://bucket/m")
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["files"]) == {"spack.yaml", "included/configs/ci.yaml"}
    (tmp_path / "stacks.toml").write_text(stack.replace("configs/", "../"))
    (tmp_path.parent / "ci.yaml").touch()
    done = farm("generate", tmp_path / "stacks.toml", "--cell", "s", "--print-request")
    assert (done.returncode, done.stdout) == (2, "")
    assert "../ci.yaml, which is outside of the matrix's folder" in done.stderr
