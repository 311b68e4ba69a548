"""`spack-farm sizing ingest`: once each, late ones too, trusted by place alone, and nothing in a document is fatal."""

import gzip
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sizing.builds import Build
from sizing.documents import LARGEST_BYTES
from sizing.errors import SourceError
from sizing.history.history import open_history
from sizing.ingest import ingest
from sizing.sources.folder import Folder
from sizing.sources.s3 import REQUESTS, Bucket
from status_line.progress import Progress, silent
from status_line.screen import Screen
from tests.labs.checkout import ROOT
from tests.labs.s3.faulty_server import in_front_of
from tests.labs.s3.server import Server
from tests.labs.sizing import DAY, NOW, document, upload


class Sizing:
    """The command, with a history of its own."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.history = folder / "history.sqlite"
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), **variables}

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "sizing", *words, "--history", str(self.history)]
        return subprocess.run(argv, env=self._environment, capture_output=True, text=True, check=False)

    def builds(self) -> list[Build]:
        with open_history(str(self.history)) as history:
            return list(history.builds())


@pytest.fixture
def sizing(tmp_path: Path) -> Sizing:
    return Sizing(tmp_path, {})


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


def now_document(name: str = "hdf5", *, days_ago: float = 1, **changes: Any) -> dict[str, Any]:
    """Return a document of the real past: the command has a real clock."""
    import time  # noqa: PLC0415

    return document(name, ended=time.time() - days_ago * DAY, **changes)


def summary(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return re.sub(r"; [\d,]+/s(, [\d.]+ ([KM]i)?B)?", "", done.stdout.partition(": ")[2].strip())


def test_a_second_reading_of_a_build_cache_finds_only_what_is_new(sizing: Sizing, mirror: Path) -> None:
    for number in range(3):
        upload(now_document(job={"id": str(number)}), mirror)
    assert Folder(mirror).count(since="", is_known=lambda _: False) == 3
    assert summary(sizing("ingest", str(mirror))) == "3 documents read, 3 new (all trusted)"
    assert summary(sizing("ingest", str(mirror))) == "0 documents read, 0 new"
    upload(now_document("late", days_ago=6), mirror)
    assert summary(sizing("ingest", str(mirror))) == "1 documents read, 1 new (all trusted)"
    assert summary(sizing("ingest", str(mirror), "--again")) == "4 documents read, 0 new, 4 known"


def test_days_that_were_listed_long_ago_are_not_listed_again(tmp_path: Path, mirror: Path) -> None:
    upload(document(ended=NOW - DAY), mirror)
    with open_history(str(tmp_path / "h")) as history:
        for later, expected in ((0.0, 1), (9 * DAY, 0)):
            upload(document("early", ended=NOW - 20 * DAY, job={"id": str(later)}), mirror)
            tally = ingest(Folder(mirror), history, now=NOW + later, again=False, progress=silent())
            assert tally.new == expected + (later == 0)
        upload(document("late", ended=NOW + 4 * DAY), mirror)
        tally = ingest(Folder(mirror), history, now=NOW + 10 * DAY, again=False, progress=silent())
        assert tally.new == 1


def test_trust_comes_from_the_place(sizing: Sizing, mirror: Path, tmp_path: Path) -> None:
    upload(now_document("good"), mirror)
    upload(now_document("poison"), mirror, place="other")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.json").write_text(json.dumps(now_document("elsewhere")))
    (elsewhere / "y.json").write_text(json.dumps(now_document("branch", job={"ref_protected": False})))
    assert summary(sizing("ingest", str(mirror))) == "1 documents read, 1 new (all trusted)"
    assert summary(sizing("ingest", f"{mirror}/telemetry/v1/other")) == "1 documents read, 1 new (0 trusted)"
    assert summary(sizing("ingest", str(elsewhere))) == "2 documents read, 2 new (0 trusted)"
    assert {one.name for one in sizing.builds() if one.trusted} == {"good"}
    sizing("ingest", str(elsewhere), "--trusted")
    assert {one.name for one in sizing.builds() if one.trusted} == {"good", "elsewhere"}


def test_a_document_first_seen_untrusted_is_trusted_once_a_protected_place_has_it(sizing: Sizing, mirror: Path) -> None:
    made = now_document()
    upload(made, mirror, place="other")
    sizing("ingest", f"{mirror}/telemetry/v1/other/")
    upload(made, mirror)
    assert summary(sizing("ingest", str(mirror))) == "1 documents read, 0 new, 1 known"
    assert [one.trusted for one in sizing.builds()] == [True]


def test_whatever_lies_in_a_folder_is_counted_and_set_aside_with_the_reason(sizing: Sizing, tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    run = folder / "runs/hdf5-1.14"
    run.mkdir(parents=True)
    (run / "telemetry.json").write_text(json.dumps(now_document()))
    (run / "spec.json").write_text("{}")
    (folder / "future.json").write_text(json.dumps(now_document(version=2)))
    (folder / "incomplete.json").write_text(json.dumps(now_document(complete=False)))
    (folder / "absurd.json").write_text(json.dumps(now_document(totals={"wall_seconds": -1})))
    (folder / "packed.json").write_bytes(gzip.compress(b"{}"))
    (folder / "empty.json").touch()
    (folder / "notes.txt").write_text("no document")
    (folder / "huge.json").touch()
    os.truncate(folder / "huge.json", LARGEST_BYTES + 1)
    os.mkfifo(folder / "pipe.json")
    (folder / "circle").symlink_to(folder)
    (folder / "nowhere.json").symlink_to("/nonexistent")
    (folder / "itself.json").symlink_to("itself.json")
    (folder / "line\nbreak\x1b[31m.json").write_text("{}")
    done = sizing("ingest", str(folder), "--list-aside")
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert "11 documents read, 1 new (0 trusted), 10 set aside" in first
    assert len(rest) == 10
    assert "\x1b" not in done.stdout
    assert any(line.endswith("future.json: version 2 of telemetry: this reader knows version 1") for line in rest)
    assert any(line.endswith("pipe.json: not a regular file") for line in rest)
    assert [one.name for one in sizing.builds()] == ["hdf5"]


def test_names_that_are_no_text_are_read_and_shown(sizing: Sizing, tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff/telemetry/v1/protected/2026-11-29")
    Path(folder).mkdir(parents=True)
    Path(folder, "good.json").write_text(json.dumps(now_document()))
    Path(os.fsdecode(os.fsencode(folder) + b"/\xfe.json")).write_text("{}")
    source = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    done = sizing("ingest", source, "--list-aside")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 documents read, 1 new (all trusted), 1 set aside" in done.stdout
    assert "/?.json: not a telemetry document" in done.stdout
    assert "2 documents read, 0 new, 1 known, 1 set aside" in sizing("ingest", source).stdout


def test_two_dots_lead_to_the_place_that_counts(sizing: Sizing, mirror: Path) -> None:
    upload(now_document("good"), mirror)
    upload(now_document("poison"), mirror, place="other")
    assert summary(sizing("ingest", f"{mirror}/telemetry/v1/protected/../other")) == "1 documents read, 1 new (0 trusted)"


def test_a_build_cache_to_which_only_unprotected_jobs_have_uploaded_has_no_documents_yet(
    sizing: Sizing, mirror: Path
) -> None:
    upload(now_document("poison"), mirror, place="other")
    for source in (mirror, mirror / "telemetry/v1"):
        assert summary(sizing("ingest", str(source))) == "0 documents read, 0 new"


def test_a_folder_that_cannot_be_read_costs_its_own_documents_only(sizing: Sizing, tmp_path: Path) -> None:
    top = tmp_path / "documents"
    for name in ("a", "z"):
        (top / name).mkdir(parents=True)
        (top / name / "x.json").write_text(json.dumps(now_document(name)))
    deep = os.open(top / "a", os.O_RDONLY)
    for _ in range(20):  # its path is longer than any system call takes
        os.mkdir("m" * 250, dir_fd=deep)
        inner = os.open("m" * 250, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = inner
    os.close(deep)
    assert summary(sizing("ingest", str(top))).startswith(
        "3 documents read, 2 new (0 trusted), 1 set aside (1 can't be read"
    )


def test_a_source_that_cannot_be_looked_at_is_named(tmp_path: Path) -> None:
    """As a folder without permission is, which root always has."""
    with pytest.raises(SourceError, match="can't be read: File name too long"):
        list(Folder(tmp_path / ("n" * 300)).documents(since="", is_known=lambda _: False))


def test_a_clock_that_was_wrong_costs_no_document(tmp_path: Path, mirror: Path) -> None:
    def read_at(now: float) -> Any:
        return ingest(Folder(mirror), history, now=now, again=False, progress=silent())

    with open_history(str(tmp_path / "h")) as history:
        upload(document(ended=NOW - DAY), mirror)
        assert read_at(NOW - 800 * DAY).aside == {"absurd": 1}
        assert read_at(NOW).new == 1
        assert history.aside() == [], "what is read is no longer set aside"
        assert read_at(NOW + 900 * DAY).read == 0
        upload(document("later", ended=NOW - 2 * DAY), mirror)
        assert read_at(NOW).new == 1


def test_one_document_is_a_source(sizing: Sizing, mirror: Path) -> None:
    path = upload(now_document(), mirror)
    assert summary(sizing("ingest", str(path))) == "1 documents read, 1 new (all trusted)"
    assert summary(sizing("ingest", f"file://{path}")) == "1 documents read, 0 new, 1 known"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "name a source"),
        (("",), 2, "an empty SOURCE"),
        (("/nonexistent",), 2, "there is no such file or folder"),
        (("file://",), 2, "an empty SOURCE"),
        (("gs://bucket",), 2, "give a folder, a document, file:///PATH or s3://BUCKET/PREFIX"),
        (("s3://",), 2, "give s3://BUCKET/PREFIX"),
        (("s3://bucket?x",), 2, "give s3://BUCKET/PREFIX"),
    ],
)
def test_a_source_that_cannot_be_one_is_a_bad_request(sizing: Sizing, words: tuple[str, ...], code: int, said: str) -> None:
    done = sizing("ingest", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done.stderr
    assert said in done.stderr


def test_a_reading_that_is_killed_has_kept_what_it_read(tmp_path: Path) -> None:
    class Killed(Exception):  # noqa: N818
        pass

    class Killing(Progress):
        def add(self, done: int = 1, *, size_bytes: int = 0) -> None:
            super().add(done, size_bytes=size_bytes)
            if self.done >= 1000:
                raise Killed

    for number in range(1200):
        upload(document(job={"id": str(number)}), tmp_path / "m")
    with open_history(str(tmp_path / "h")) as history:
        with pytest.raises(Killed):
            ingest(
                Folder(tmp_path / "m"),
                history,
                now=NOW,
                again=False,
                progress=Killing("", unit=("", ""), screen=Screen(), say=print),
            )
        assert sum(1 for _ in history.builds()) == 1000
        tally = ingest(Folder(tmp_path / "m"), history, now=NOW, again=False, progress=silent())
        assert (tally.read, tally.new) == (200, 200)


@pytest.fixture
def on_s3(s3: Server, tmp_path: Path) -> tuple[Server, str, Sizing]:
    return s3, s3.bucket(), Sizing(tmp_path, s3.environment)


def put(
    server: Server, bucket: str, made: dict[str, Any], folder: Path, *, prefix: str = "", place: str = "protected"
) -> None:
    path = upload(made, folder, place=place)
    key = prefix + path.relative_to(folder).as_posix()
    server.client().put_object(Bucket=bucket, Key=key, Body=path.read_bytes())


def test_s3_is_read_by_day_once_each_and_late_ones_too(on_s3: tuple[Server, str, Sizing], tmp_path: Path) -> None:
    server, bucket, sizing = on_s3
    for number in range(40):
        put(server, bucket, now_document(days_ago=number + 1, job={"id": str(number)}), tmp_path / "m", prefix="a/b/")
    put(server, bucket, now_document("poison"), tmp_path / "m", prefix="a/b/", place="other")
    server.client().put_object(Bucket=bucket, Key="a/b/telemetry/v1/protected/2026-01-01/x.json", Body=b"{}")
    url = f"s3://{bucket}/a/b"
    assert summary(sizing("ingest", url)).startswith("41 documents read, 40 new (all trusted), 1 set aside")
    assert summary(sizing("ingest", f"{url}/telemetry/v1/protected/")) == "0 documents read, 0 new"
    put(server, bucket, now_document("late", days_ago=5), tmp_path / "m", prefix="a/b/")
    assert summary(sizing("ingest", f"{url}/telemetry/v1")) == "1 documents read, 1 new (all trusted)"
    assert summary(sizing("ingest", f"{url}/telemetry/v1/other")) == "1 documents read, 1 new (0 trusted)"
    assert {one.name for one in sizing.builds() if one.trusted} == {"hdf5", "late"}


@pytest.mark.usefixtures("credentials")
def test_requests_that_are_sent_again_are_counted(moto: Server, tmp_path: Path) -> None:
    bucket, refused, retried = moto.bucket(), iter([True, True]), list[None]()
    for number in range(2):
        put(moto, bucket, now_document(job={"id": str(number)}), tmp_path / "m")

    def refuse(request: Any) -> bool:
        if "list-type" in request.path or not next(refused, False):
            return False
        request.send_response_only(503)
        request.send_header("Content-Length", "0")
        request.end_headers()
        return True

    with in_front_of(moto, refuse) as front:
        source = Bucket(f"s3://{bucket}", endpoint_url=front.url, retried=lambda: retried.append(None))
        assert source.count(since="", is_known=lambda _: False) == 2
        assert len(list(source.documents(since="", is_known=lambda _: False))) == 2
    assert len(retried) == 2


@pytest.mark.usefixtures("credentials")
def test_s3_is_asked_for_many_documents_at_a_time(moto: Server, tmp_path: Path) -> None:
    bucket, together = moto.bucket(), threading.Barrier(16, timeout=30)
    for number in range(16):
        put(moto, bucket, now_document(job={"id": str(number)}), tmp_path / "m")

    def wait(request: Any) -> bool:
        if "/telemetry/v1/protected/" in request.path and "list-type" not in request.path:
            together.wait()  # breaks, and fails the request, if fewer come at a time
        return False

    assert REQUESTS >= 16
    with in_front_of(moto, wait) as front:
        done = Sizing(tmp_path, moto.environment)("ingest", f"s3://{bucket}", "--endpoint-url", front.url)
    assert summary(done) == "16 documents read, 16 new (all trusted)"


@pytest.mark.usefixtures("credentials")
def test_a_bucket_that_is_not_there_costs_its_own_documents_only(moto: Server, tmp_path: Path, mirror: Path) -> None:
    upload(now_document(), mirror)
    done = Sizing(tmp_path, moto.environment)("ingest", "s3://no-such-bucket/x", str(mirror))
    assert done.returncode == 1
    assert "s3://no-such-bucket/x/telemetry/v1/protected/ can't be listed" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "1 documents read, 1 new (all trusted)" in done.stdout


@pytest.mark.usefixtures("credentials")
def test_an_object_that_is_deleted_meanwhile_is_passed_over(moto: Server, tmp_path: Path) -> None:
    bucket = moto.bucket()
    for number in range(3):
        put(moto, bucket, now_document(job={"id": str(number)}), tmp_path / "m")
    deleted: list[str] = []

    def delete(request: Any) -> bool:
        if "/telemetry/v1/protected/" in request.path and "list-type" not in request.path and not deleted:
            deleted.append(request.path)
            moto.client().delete_object(Bucket=bucket, Key=request.path.partition(f"/{bucket}/")[2])
        return False

    with in_front_of(moto, delete) as front:
        done = Sizing(tmp_path, moto.environment)("ingest", f"s3://{bucket}", "--endpoint-url", front.url)
    assert summary(done) == "2 documents read, 2 new (all trusted)"


def refuse(code: str, status: int, *, wanted: str) -> Any:
    """Return a fault that answers requests for documents whose key has these words."""

    def fault(request: Any) -> bool:
        if "/telemetry/v1/protected/" not in request.path or "list-type" in request.path or wanted not in request.path:
            return False
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
        return True

    return fault


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(
    ("code", "status", "aside"), [("AccessDenied", 403, "can't be read"), ("InvalidObjectState", 403, "archived")]
)
def test_an_object_that_cannot_be_read_costs_no_other(
    moto: Server, tmp_path: Path, code: str, status: int, aside: str
) -> None:
    bucket = moto.bucket()
    for name in "abc":
        put(moto, bucket, now_document(name), tmp_path / "m")
    sizing = Sizing(tmp_path, moto.environment)
    with in_front_of(moto, refuse(code, status, wanted="/b-")) as front:
        done = sizing("ingest", f"s3://{bucket}", "--endpoint-url", front.url)
    assert summary(done).startswith(f"3 documents read, 2 new (all trusted), 1 set aside (1 {aside}")
    assert summary(sizing("ingest", f"s3://{bucket}")) == "1 documents read, 1 new (all trusted)"
    assert sizing("ingest", "--list-aside").stdout == ""


@pytest.mark.usefixtures("credentials")
def test_where_no_object_can_be_read_it_is_a_matter_of_access(moto: Server, tmp_path: Path) -> None:
    bucket = moto.bucket()
    put(moto, bucket, now_document(), tmp_path / "m")
    with in_front_of(moto, refuse("AccessDenied", 403, wanted="")) as front:
        done = Sizing(tmp_path, moto.environment)("ingest", f"s3://{bucket}", "--endpoint-url", front.url)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "can't be read: An error occurred (AccessDenied)" in done.stderr


@pytest.mark.usefixtures("credentials")
def test_what_was_read_before_a_source_fails_is_kept(moto: Server, tmp_path: Path) -> None:
    bucket = moto.bucket()
    for name, days in (("a", 3), ("b", 2)):
        put(moto, bucket, now_document(name, days_ago=days), tmp_path / "m")
    listed: list[str] = []

    def fault(request: Any) -> bool:
        if "list-type" not in request.path:
            return False
        listed.append(request.path)
        if len(listed) < 3:  # the days, and the first of them
            return False
        body = b"<html>a proxy's page</html>"
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
        return True

    sizing = Sizing(tmp_path, moto.environment)
    with in_front_of(moto, fault) as front:
        done = sizing("ingest", f"s3://{bucket}", "--endpoint-url", front.url)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "can't be listed" in done.stderr
    assert [one.name for one in sizing.builds()] == ["a"]


@pytest.mark.usefixtures("credentials")
def test_an_answer_that_ends_early_is_no_document(moto: Server, tmp_path: Path) -> None:
    bucket = moto.bucket()
    for name in "ab":
        put(moto, bucket, now_document(name), tmp_path / "m")

    def cut(request: Any) -> bool:
        if "/telemetry/v1/protected/" not in request.path or "list-type" in request.path or "/b-" not in request.path:
            return False
        request.send_response(200)
        request.send_header("Content-Length", "900")
        request.end_headers()
        request.wfile.write(b"{")
        request.close_connection = True
        return True

    sizing = Sizing(tmp_path, moto.environment)
    with in_front_of(moto, cut) as front:
        done = sizing("ingest", f"s3://{bucket}", "--endpoint-url", front.url)
    assert summary(done).startswith("2 documents read, 1 new (all trusted), 1 set aside (1 can't be read")
    assert summary(sizing("ingest", f"s3://{bucket}", "--list-aside")) == "1 documents read, 1 new (all trusted)", (
        "nothing is left aside"
    )
