"""The fast path does what boto3 would do, and leaves the rest to boto3."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from buildjob.buildcache.storage.retry import RetryPolicy
from buildjob.buildcache.storage.store import ABSENT, LocalFile
from buildjob.errors import Conflict, NotFound
from tests.labs.checkout import ROOT
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


@pytest.fixture(params=["known", "learned"])
def by_boto3_first(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many requests boto3 sends until the fast path is open: none if variables say all, one if it reads a file."""
    is_learned: bool = request.param == "learned"
    if is_learned:
        (tmp_path / "aws").touch()
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))
    return int(is_learned)


def test_all_requests_but_the_first_take_it(s3: Server, tmp_path: Path, by_boto3_first: int) -> None:
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
        assert store.has_content("odd/a b+c~d=e,f@g", LocalFile(path=blob, size_bytes=5000, sha256=sha256))
        assert not store.has_content("odd/a b+c~d=e,f@g", LocalFile(path=blob, size_bytes=4999, sha256=sha256))
        assert not store.has_content("nothing", LocalFile(path=blob, size_bytes=5000, sha256=sha256))
        assert store.download("odd/a b+c~d=e,f@g", tmp_path / "copy") == sha256
        assert (tmp_path / "copy").read_bytes() == blob.read_bytes()
        for ask in (store.read, store.digest, lambda key: store.download(key, tmp_path / "copy")):
            with pytest.raises(NotFound, match="NoSuchKey"):
                ask("nothing")
        with pytest.raises(Conflict):
            store.write("first", b"2", only_if=ABSENT)
        assert store.write("first", b"3", only_if=tag) != tag
        assert store.read("first").data == b"3"
        store.write("gone", b"")
        store.delete("gone")
        store.delete("gone")
        assert [seen.key for seen in store.list("")] == ["first", "odd/a b+c~d=e,f@g"]
        assert list(store.list("nothing")) == []
    expected = [True] * by_boto3_first + [False] * (len(front.seen) - by_boto3_first)
    assert [by_boto3 for _, by_boto3 in front.seen] == expected
    assert len(front.connections) <= 9, "one of boto3's, one of ours, and a new one after each error"
    assert not front.expected, "one way there and back, not two"
    plain = s3.store(store.url, fast_path=False)
    assert list(plain.list("")) == list(s3.store(store.url).list("")), "boto3 finds the same"


def test_a_long_listing_is_whole_although_a_page_of_it_fails(s3: Server) -> None:
    front = Front()
    names = [f"key-{number:04}" for number in range(1203)]
    with in_front_of(s3, front) as server:
        store = server.store(f"s3://{s3.bucket()}/x", retries=RETRIES)
        for name in names:
            store.write(name, b"")
        listed = store.list("key-")
        first = next(listed)
        front.refuse = 1
        assert [first.key, *(each.key for each in listed)] == names


def test_what_variables_say_needs_no_boto3(s3: Server) -> None:
    """It takes a third of a second of a core to load."""
    url = f"s3://{s3.bucket()}/x"
    program = f"""
import sys
from buildjob.buildcache.storage.open import Access, load_for, open_store
load_for({url!r}, with_boto3=False)
store = open_store({url!r}, Access())
assert store.stat("nothing") is None
store.write("key", b"1")
assert [each.key for each in store.list("")] == ["key"]
print(*sys.modules)
"""
    environment = {"PATH": "/bin", **s3.environment}
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert not {"boto3", "botocore"} & set(done.stdout.split())


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
    assert 2 <= [by_boto3 for _, by_boto3 in front.seen].count(True) <= 5


def test_it_is_given_up_on_a_server_that_refuses_it(s3: Server, by_boto3_first: int) -> None:
    class Refusing(Front):
        def __call__(self, request: Any) -> bool:
            self.refuse = "Boto3" not in request.headers.get("User-Agent", "")
            return super().__call__(request)

    front = Refusing()
    with in_front_of(s3, front) as server:
        store = server.store(f"s3://{s3.bucket()}/x", retries=RETRIES)
        for number in range(10):
            store.write(f"key-{number}", b"1")
    # what the variables say is tried once; what was learned from boto3 has worked before
    assert [by_boto3 for _, by_boto3 in front.seen].count(False) == 3 + (not by_boto3_first)
