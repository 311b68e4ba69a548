"""How S3 is reached: plain values, which are read without loading boto3."""

import msgspec


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How a bucket is reached; what is not given, boto3 finds as it always does (variables, profile, web identity)."""

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    ca_file: str | None = None
    path_style: bool = False
    """Bucket in the path instead of the host name; servers of one's own usually need it."""
    connections: int = 8
    multipart_bytes: int = 256 << 20
    """Files from this size on are sent in parts of `part_bytes`; S3 takes 5 GiB in one piece."""
    part_bytes: int = 64 << 20
    """A lost connection costs at most this much; with 10,000 parts a file may have 625 GiB."""
