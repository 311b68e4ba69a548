"""A mirror as far as looking ahead needs it: one file of a folder or of S3, read or asked for. Answers are bounded."""

from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from autoscaler.errors import BadRequest, CloudError

_ABSENT = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})


class Store(Protocol):
    """Files of a mirror by their path in it."""

    def read(self, path: str, *, most_bytes: int) -> bytes | None:
        """Return a file; None if there is none. Raises CloudError."""

    def has(self, path: str) -> bool:
        """Return whether there is such a file. Raises CloudError."""


def open_store(place: str, *, endpoint_url: str = "") -> Store:
    """Return the mirror at a folder, `file://` or `s3://BUCKET/PREFIX`. Raises BadRequest."""
    parts = urlsplit(place)
    if parts.scheme == "s3":
        if not parts.netloc or parts.query or parts.fragment:
            raise BadRequest(f"service.graphs {place!r}: give s3://BUCKET/PREFIX")
        return _S3(parts.netloc, parts.path.strip("/"), endpoint_url=endpoint_url)
    if parts.scheme not in {"", "file"}:
        raise BadRequest(f"service.graphs {place!r} is neither a folder nor s3://BUCKET/PREFIX")
    return _Folder(Path(parts.path))


class _Folder:
    def __init__(self, home: Path) -> None:
        self._home = home

    def read(self, path: str, *, most_bytes: int) -> bytes | None:
        try:
            with (self._home / path).open("rb") as file:
                content = file.read(most_bytes + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CloudError(f"{self._home / path} cannot be read: {error}") from error
        if len(content) > most_bytes:
            raise CloudError(f"{self._home / path} is larger than {most_bytes} bytes")
        return content

    def has(self, path: str) -> bool:
        try:
            return (self._home / path).is_file()
        except OSError as error:
            raise CloudError(f"{self._home / path} cannot be read: {error}") from error


class _S3:
    def __init__(self, bucket: str, prefix: str, *, endpoint_url: str) -> None:
        import boto3  # noqa: PLC0415  a mirror in a folder needs none
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        self._faults = (BotoCoreError, ClientError)
        self._bucket, self._prefix = bucket, prefix
        settings = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})
        session = boto3.session.Session()
        self._client: Any = session.client(
            "s3", endpoint_url=endpoint_url or None, region_name=session.region_name or "us-east-1", config=settings
        )

    def read(self, path: str, *, most_bytes: int) -> bytes | None:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(path))
            content = bytes(answer["Body"].read(most_bytes + 1))
        except self._faults as error:
            if self._is_absent(error):
                return None
            raise CloudError(f"s3://{self._bucket}/{self._key(path)} cannot be read: {error}") from error
        if len(content) > most_bytes:
            raise CloudError(f"s3://{self._bucket}/{self._key(path)} is larger than {most_bytes} bytes")
        return content

    def has(self, path: str) -> bool:
        try:
            self._client.head_object(Bucket=self._bucket, Key=self._key(path))
        except self._faults as error:
            if self._is_absent(error):
                return False
            raise CloudError(f"s3://{self._bucket}/{self._key(path)} cannot be read: {error}") from error
        return True

    def _key(self, path: str) -> str:
        return f"{self._prefix}/{path}".lstrip("/")

    @staticmethod
    def _is_absent(error: Exception) -> bool:
        response = getattr(error, "response", {})
        return str(response.get("Error", {}).get("Code", "")) in _ABSENT
