"""How S3 is reached: plain values, apart from `s3_client` so that reading them does not load boto3."""

import msgspec

from buildjob.errors import RequestError


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How a bucket is reached. For what is missing, boto3 uses its own sources (variables, profile, web identity)."""

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    ca_file: str | None = None
    path_style: bool = False
    """Bucket in the path instead of the host name; most servers other than AWS need it."""
    connections: int = 8
    connect_seconds: float = 5.0
    """A server that has not taken a connection by then is asked again."""
    answer_seconds: float = 60.0
    """The longest silence while an answer is awaited: servers copy and join large objects first."""
    multipart_bytes: int = 256 << 20
    """Files of this size and larger are uploaded in parts of `part_bytes`; S3 takes at most 5 GiB in one piece."""
    part_bytes: int = 64 << 20
    """A lost connection costs at most this much; S3 takes 10,000 parts, so a file can have 625 GiB."""


def split_url(url: str) -> tuple[str, str]:
    """Return bucket and prefix of `s3://bucket/prefix`. Raises RequestError if it is not such an address."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not bucket:
        raise RequestError(f"{url}: give a bucket as s3://BUCKET/PREFIX")
    if len(bucket) < 3:
        raise RequestError(f"{url}: '{bucket}' can't be a bucket, whose name has at least 3 characters")
    return bucket, prefix.strip("/")
