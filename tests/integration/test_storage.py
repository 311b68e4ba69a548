"""The port to storage: a folder and S3 behave the same."""

import contextlib
import hashlib
import http.server
import random
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buildjob.buildcache import conditions
from buildjob.buildcache.storage.access import Access
from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.storage.retry import RetryPolicy
from buildjob.buildcache.storage.s3 import S3Store
from buildjob.buildcache.storage.store import ABSENT, LocalFile, Store
from buildjob.buildcache.workers import in_parallel
from buildjob.errors import Conflict, NotFound, StoreError, Unavailable
from tests.labs.build_cache import MakeStore
from tests.labs.s3.faulty_server import Fault, in_front_of
from tests.labs.s3.server import Server


@pytest.fixture(params=[True, False], ids=["fast path", "no fast path"])
def make_either(make_store: MakeStore, request: pytest.FixtureRequest) -> MakeStore:
    """Makes each kind of storage; S3 with and without the fast path."""
    return lambda **access: make_store(fast_path=request.param, **access)


def local(folder: Path, data: bytes) -> LocalFile:
    path = folder / secrets.token_hex(4)
    path.write_bytes(data)
    return LocalFile(path=path, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def test_objects_are_written_read_listed_and_deleted(make_either: MakeStore, tmp_path: Path) -> None:
    store = make_either()
    assert store.stat("a/b") is None
    with pytest.raises(NotFound):
        store.read("a/b")
    store.write("a/b", b"one")
    store.upload("a/c/d", local(tmp_path, b"two" * 1000))
    store.write("ab", b"")
    assert store.read("a/b").data == b"one"
    assert store.download("a/c/d", tmp_path / "got") == hashlib.sha256(b"two" * 1000).hexdigest()
    assert (tmp_path / "got").read_bytes() == b"two" * 1000
    assert [(seen.key, seen.size_bytes) for seen in store.list("a/")] == [("a/b", 3), ("a/c/d", 3000)]
    assert [seen.key for seen in store.list("a")] == ["a/b", "a/c/d", "ab"]
    assert list(store.list("none/")) == []
    with pytest.raises(StoreError, match="larger than 2"):
        store.read("a/b", limit_bytes=2)
    store.delete("a/b")
    store.delete("a/b")
    assert store.stat("a/b") is None


def test_a_condition_that_does_not_hold_is_a_conflict(make_either: MakeStore) -> None:
    store = make_either()
    tag = store.write("key", b"first", only_if=ABSENT)
    with pytest.raises(Conflict):
        store.write("key", b"second", only_if=ABSENT)
    newer = store.write("key", b"second", only_if=tag)
    with pytest.raises(Conflict):
        store.write("key", b"third", only_if=tag)
    assert store.read("key").data == b"second"
    assert store.read("key").etag == newer
    assert conditions.are_kept(store)
    assert [seen.key for seen in store.list("spack-farm/") if "lock" not in seen.key] == ["spack-farm/v1/conditional-writes"]


def test_counting_by_compare_and_swap_loses_nothing(make_either: MakeStore) -> None:
    store = make_either()
    store.write("n", b"0")

    def count(_turn: int) -> None:
        while True:
            seen = store.read("n")
            try:
                store.write("n", str(int(seen.data) + 1).encode(), only_if=seen.etag)
            except Conflict:
                continue
            return

    assert len(list(in_parallel(range(24), count, workers=4))) == 24
    assert store.read("n").data == b"24"


def test_what_changes_on_the_way_is_refused(make_either: MakeStore, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    store = make_either(retries=RetryPolicy(tries=1))
    if "moto" in request.node.name:
        pytest.skip("moto's server ignores x-amz-checksum-sha256")
    blob = local(tmp_path, b"what was promised")
    blob.path.write_bytes(b"what has come of it")
    with pytest.raises(StoreError):
        store.upload("blob", blob)
    assert store.stat("blob") is None


def test_a_key_cannot_leave_the_folder(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "m")
    for key in ("../outside", "/etc/passwd", "a/../../b", "a\0b"):
        with pytest.raises(StoreError, match="not a key"):
            store.write(key, b"x")


def test_a_large_file_is_uploaded_in_parts(s3: Server, tmp_path: Path) -> None:
    bucket = s3.bucket()
    store = s3.store(f"s3://{bucket}/x", multipart_bytes=1, part_bytes=5 << 20)
    data = random.Random(3).randbytes((11 << 20) + 17)
    store.upload("big", local(tmp_path, data))
    assert store.download("big", tmp_path / "got") == hashlib.sha256(data).hexdigest()
    blob = local(tmp_path, data)
    blob.path.write_bytes(data[:-1] + b"!")
    with pytest.raises(StoreError, match="it changed while it was uploaded"):
        store.upload("other", blob)
    assert store.stat("other") is None
    assert not s3.client().list_multipart_uploads(Bucket=bucket).get("Uploads")


def test_a_missing_bucket_is_reported_in_one_line(s3: Server) -> None:
    store = s3.store("s3://no-such-bucket/x")
    with pytest.raises(StoreError, match="make the bucket first"):
        store.write("key", b"x")


@pytest.fixture
def faulty(s3: Server) -> Iterator[Callable[[Fault], Server]]:
    """A server in front of the S3 server that may answer instead of it."""
    with contextlib.ExitStack() as stack:
        yield lambda fault: stack.enter_context(in_front_of(s3, fault))


@pytest.mark.parametrize("status", [500, 503])
def test_throttling_and_faults_of_the_server_are_tried_again(faulty: Callable[[Fault], Server], status: int) -> None:
    waits: list[float] = []
    retried: list[None] = []
    answers = iter([status, status, status, 0])  # the first is for the fast path, which leaves it to boto3

    def fault(request: http.server.BaseHTTPRequestHandler) -> bool:
        if request.command != "PUT" or not (answer := next(answers)):
            return False
        request.send_response_only(answer)
        request.send_header("Content-Length", "0")
        request.end_headers()
        return True

    server = faulty(fault)
    policy = RetryPolicy(sleep=waits.append, random=lambda: 1.0, retried=lambda: retried.append(None))
    store = server.store(f"s3://{server.bucket()}/x", retries=policy)
    store.write("key", b"x", only_if=ABSENT)
    assert store.read("key").data == b"x"
    assert waits == [0.2, 0.4]
    assert len(retried) == 3


def test_a_lost_answer_of_a_conditional_write_is_no_conflict(faulty: Callable[[Fault], Server]) -> None:
    lost = iter([True])

    def fault(request: http.server.BaseHTTPRequestHandler) -> bool:
        request.swallow = request.command == "PUT" and next(lost, False)  # type: ignore[attr-defined]
        return False

    server = faulty(fault)
    store = server.store(f"s3://{server.bucket()}/x", retries=RetryPolicy(sleep=lambda _seconds: None))
    store.write("key", b"mine", only_if=ABSENT)
    assert store.read("key").data == b"mine"


def test_an_unreachable_server_is_reported_after_all_tries(s3: Server) -> None:
    waits: list[float] = []
    access = Access(endpoint_url="http://127.0.0.1:9", region="us-east-1", path_style=True)
    store: Store = S3Store(f"s3://{s3.bucket()}/x", access, retries=RetryPolicy(sleep=waits.append))
    with pytest.raises(Unavailable, match=r"no answer from http://127\.0\.0\.1:9"):
        store.read("key")
    assert len(waits) == 8
