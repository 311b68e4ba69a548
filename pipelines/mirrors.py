"""Reads objects of a mirror: a folder, S3 or HTTP, each by one request; leaves job graphs on a folder or in S3.

It knows the index, the report of the last verification and job graphs by their keys. Knows no Spack.
"""

import functools
import gzip
import hashlib
import io
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from pipelines.errors import BadRequest, FetchFailed, NotAccepted
from pipelines.inside.mirror import index_reader

MANIFEST = "v3/manifests/index/index.manifest.json"
VERIFIED = "spack-farm/v1/verified.json"
GRAPHS = "graphs/v1/"
GRAPH_SECONDS = 30 * 86400.0
"""How long a job graph stays."""
LARGEST_BYTES = 1 << 30
_MOST_REMOVED = 100
"""Old graphs that one upload removes: a mirror that was forgotten must not delay a pipeline."""
_TIMEOUT_SECONDS = 60
_ABSENT_CODES = {"NoSuchKey", "404", "NotFound"}


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """The report that `spack-farm publish verify --record` leaves on a mirror, version 1."""

    version: int
    at: str
    """When the verification began: RFC 3339, UTC."""
    good: frozenset[str] = frozenset()
    """Hashes of the binaries without a fault."""
    faults: dict[str, str] = {}
    """Hash -> its fault."""


class _Blob(msgspec.Struct, frozen=True):
    checksum: str
    compression: str = "none"


class _Manifest(msgspec.Struct, frozen=True):
    data: list[_Blob]


class Mirror:
    """A mirror; `requests` counts what was asked."""

    def __init__(self, url: str, *, endpoint_url: str = "") -> None:
        """Name a mirror: a folder, `file://`, `s3://` or `http(s)://`. Raises BadRequest."""
        self.url = url.rstrip("/")
        self.requests = 0
        scheme = urllib.parse.urlsplit(self.url).scheme if "://" in self.url else "file"
        if scheme not in {"file", "s3", "http", "https"}:
            raise BadRequest(f"{url}: a mirror is a folder, or starts with s3://, https://, http:// or file://")
        self._read = {"file": self._of_folder, "s3": self._of_s3}.get(scheme, self._of_http)
        self._endpoint_url = endpoint_url
        parsed = urllib.parse.urlsplit(self.url)
        self._bucket, path = parsed.netloc, parsed.path.strip("/")
        self._prefix = f"{path}/" if path else ""
        if scheme == "file" and not self._folder().is_dir():
            raise BadRequest(f"{url}: there is no such folder")

    def read(self, key: str) -> bytes | None:
        """Return an object; None if it is not there. Raises FetchFailed."""
        self.requests += 1
        return self._read(key)

    def leave_graph(self, digest: str, content: bytes, *, wall: Callable[[], float] = time.time) -> int:
        """Write a job graph under its digest, and remove those older than 30 days; return how many. Raises PipelineError."""
        self._write(f"{GRAPHS}{digest}.json", content)
        removed = 0
        for key, modified in self._graphs():
            if removed < _MOST_REMOVED and wall() - modified > GRAPH_SECONDS:
                self._remove(key)
                removed += 1
        return removed

    def binaries(self) -> set[str]:
        """Return the hashes that the index lists, by two requests. Raises FetchFailed and NotAccepted."""
        content = self.read(MANIFEST)
        if content is None:
            raise NotAccepted(
                f"{self.url} has no index, so it is not known what is there; 'spack-farm publish index {self.url}' makes one"
            )
        advice = f"'spack-farm publish index {self.url} --rebuild' makes it anew"
        try:
            blob = msgspec.json.decode(content, type=_Manifest).data[0]
        except (msgspec.MsgspecError, IndexError) as error:
            raise NotAccepted(f"{self.url}: {MANIFEST} is no manifest ({error}); {advice}") from error
        packed = self.read(f"blobs/sha256/{blob.checksum[:2]}/{blob.checksum}")
        if packed is None:
            raise NotAccepted(f"{self.url}: the index names a blob that is not there; {advice}")
        if hashlib.sha256(packed).hexdigest() != blob.checksum:
            raise NotAccepted(f"{self.url}: the blob of the index has another checksum than its name says; {advice}")
        file = io.BytesIO(packed)
        try:
            return index_reader.binaries(gzip.GzipFile(fileobj=file) if blob.compression == "gzip" else file)  # type: ignore[arg-type]
        except (index_reader.NotAnIndex, EOFError, OSError) as error:
            raise NotAccepted(f"{self.url}: its index can't be read: {error}; {advice}") from error

    def verified(self) -> Verified | None:
        """Return the report of the last verification; None without one. Raises FetchFailed and NotAccepted."""
        content = self.read(VERIFIED)
        if content is None:
            return None
        try:
            found = msgspec.json.decode(content, type=Verified)
        except msgspec.MsgspecError as error:
            raise NotAccepted(f"{self.url}/{VERIFIED} is no report of a verification: {error}") from error
        if found.version != 1:
            raise NotAccepted(f"{self.url}/{VERIFIED} has version {found.version}; this spack-farm reads version 1")
        return found

    def _folder(self) -> Path:
        parsed = urllib.parse.urlsplit(self.url)
        return Path(urllib.parse.unquote(parsed.path) if parsed.scheme == "file" else self.url)

    def _of_folder(self, key: str) -> bytes | None:
        try:
            return (self._folder() / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise FetchFailed(f"{self.url}/{key} can't be read: {error.strerror}") from error

    def _write(self, key: str, content: bytes) -> None:
        self.requests += 1
        if self.url.startswith("s3://"):
            self._in_s3("write", key, lambda client, place: client.put_object(**place, Body=content))
        elif self.url.startswith(("http://", "https://")):
            raise BadRequest(f"{self.url}: a job graph can be left on a folder or in S3 only")
        else:
            path = self._folder() / key
            new = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                new.write_bytes(content)
                new.replace(path)
            except OSError as error:
                raise FetchFailed(f"{path} can't be written: {error.strerror}") from error

    def _graphs(self) -> Iterator[tuple[str, float]]:
        """Yield key and time of each job graph, of at most 1,000: one request."""
        self.requests += 1
        if self.url.startswith("s3://"):

            def listed(client: Any, place: dict[str, str]) -> list[Any]:
                found: list[Any] = client.list_objects_v2(Bucket=place["Bucket"], Prefix=place["Key"]).get("Contents", [])
                return found

            for each in self._in_s3("list", GRAPHS, listed):
                yield each["Key"].removeprefix(self._prefix), each["LastModified"].timestamp()
            return
        for path in sorted((self._folder() / GRAPHS).glob("*.json")):
            yield f"{GRAPHS}{path.name}", path.stat().st_mtime

    def _remove(self, key: str) -> None:
        self.requests += 1
        if self.url.startswith("s3://"):
            self._in_s3("delete", key, lambda client, place: client.delete_object(**place))
        else:
            (self._folder() / key).unlink(missing_ok=True)

    def _of_http(self, key: str) -> bytes | None:
        try:
            with urllib.request.urlopen(f"{self.url}/{key}", timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310  http(s) only
                content: bytes = answer.read(LARGEST_BYTES)
        except urllib.error.HTTPError as error:
            if error.code in {404, 410}:
                return None
            raise FetchFailed(f"{self.url}/{key}: the server answers {error.code} {error.reason}") from error
        except (OSError, ValueError) as error:
            raise FetchFailed(f"{self.url}/{key}: {getattr(error, 'reason', error)}") from error
        return content

    def _of_s3(self, key: str) -> bytes | None:
        def read(client: Any, place: dict[str, str]) -> bytes:
            content: bytes = client.get_object(**place)["Body"].read(LARGEST_BYTES)
            return content

        found: bytes | None = self._in_s3("read", key, read)
        return found

    @functools.cached_property
    def _client(self) -> Any:
        import boto3  # noqa: PLC0415  only mirrors in S3 need it
        from botocore.config import Config  # noqa: PLC0415

        config = Config(connect_timeout=10, read_timeout=_TIMEOUT_SECONDS, retries={"total_max_attempts": 3})
        return boto3.client("s3", endpoint_url=self._endpoint_url or _endpoint(), config=config)

    def _in_s3(self, verb: str, key: str, do: Callable[[Any, dict[str, str]], Any]) -> Any:
        """Do something with an object; None if it is not there. Raises FetchFailed."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            return do(self._client, {"Bucket": self._bucket, "Key": f"{self._prefix}{key}"})
        except ClientError as error:
            said = error.response.get("Error", {})
            if verb == "read" and said.get("Code") in _ABSENT_CODES:
                return None
            raise FetchFailed(f"{self.url}/{key}: {said.get('Code')} {said.get('Message', '')}") from error
        except (BotoCoreError, OSError, ValueError) as error:
            raise FetchFailed(f"{self.url}/{key}: {error}") from error


def _endpoint() -> str | None:
    """Return Spack's own variable for the address of an S3 server."""
    return os.environ.get("S3_ENDPOINT_URL")  # noqa: TID251  beside boto3's own, which boto3 reads
