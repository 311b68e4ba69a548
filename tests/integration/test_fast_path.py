"""The fast path does what boto3 would do, and leaves the rest to boto3."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from buildjob.buildcache.storage.retry import RetryPolicy
from buildjob.buildcache.storage.store import ABSENT, LocalFile
from buildjob.errors import Conflict, NotFound
from tests.labs.s3.faulty_server import in_front_of
from tests.labs.s3.server import Server

RETRIES = RetryPolicy(sleep=lambda _seconds: None)


class Front:
    """Notes each request, and answers some with an error, or loses the answer."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bool]] = []
        """Method, and whether boto3 sent it."""
        self.expected = False
        self.connections: set[object] = set()
        self.refuse = self.lose = 0

    def __call__(self, request: Any) -> bool:
        by_boto3 = "Boto3" in request.headers.get("User-Agent", "")
        self.seen.append((request.command, by_boto3))
        self.connections.add(request.client_address)
        self.expected = self.expected or "Expect" in request.headers
        if self.refuse:
            self.refuse -= 1
            request.send_response_only(503)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return True
        request.swallow, self.lose = self.lose > 0, max(self.lose - 1, 0)
        return False


def test_all_requests_but_the_first_take_it(s3: Server, tmp_path: Path) -> None:
    front = Front()
    blob = tmp_path / "blob"
    blob.write_bytes(b"x" * 5000)
    sha256 = hashlib.sha256(blob.read_bytes()).hexdigest()
    with in_front_of(s3, front) as server:
        store = server.store(f"s3://{s3.bucket()}/x", retries=RETRIES)
        tag = store.write("first", b"1", only_if=ABSENT)
        store.upload("odd/a b+c~d=e,f@g", LocalFile(path=blob, size_bytes=5000, sha256=sha256), if_absent=True)
        assert store.read("first").etag == tag
        assert store.digest("odd/a b+c~d=e,f@g") == (5000, sha256)
        seen = store.stat("odd/a b+c~d=e,f@g")
        assert seen
        assert seen.size_bytes == 5000
        assert store.stat("nothing") is None
        with pytest.raises(Conflict):
            store.write("first", b"2", only_if=ABSENT)
        assert store.write("first", b"3", only_if=tag) != tag
        assert store.read("first").data == b"3"
    assert [by_boto3 for _, by_boto3 in front.seen] == [True] + [False] * (len(front.seen) - 1)
    assert len(front.connections) <= 4, "one of boto3's, one of ours, and a new one after each error"
    assert not front.expected, "one way there and back, not two"
    assert [seen.key for seen in store.list("")] == ["first", "odd/a b+c~d=e,f@g"], "boto3 finds the same names"


def test_boto3_sends_again_what_is_refused_or_not_answered(s3: Server) -> None:
    front = Front()
    with in_front_of(s3, front) as server:
        store = server.store(f"s3://{s3.bucket()}/x", retries=RETRIES)
        store.write("first", b"1")
        front.refuse = 1
        store.write("second", b"2", only_if=ABSENT)
        front.lose = 1
        store.write("third", b"3", only_if=ABSENT)
        assert store.read("third").data == b"3", "the write whose answer was lost is known as one's own"
        with pytest.raises(Conflict):
            store.write("third", b"4", only_if=ABSENT)
        with pytest.raises(NotFound, match="NoSuchKey"):
            store.read("nothing")
    assert [by_boto3 for _, by_boto3 in front.seen].count(True) >= 4


def test_it_is_given_up_on_a_server_that_refuses_it(s3: Server) -> None:
    class Refusing(Front):
        def __call__(self, request: Any) -> bool:
            self.refuse = "Boto3" not in request.headers.get("User-Agent", "")
            return super().__call__(request)

    front = Refusing()
    with in_front_of(s3, front) as server:
        store = server.store(f"s3://{s3.bucket()}/x", retries=RETRIES)
        for number in range(10):
            store.write(f"key-{number}", b"1")
    assert [by_boto3 for _, by_boto3 in front.seen].count(False) == 3
