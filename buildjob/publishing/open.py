"""Opens the storage that a mirror's URL names; boto3 is loaded for `s3://` only."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from buildjob.errors import RequestError
from buildjob.publishing.folder import FolderStore
from buildjob.publishing.store import Store


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """How S3 is reached; of no meaning to folders. What is not given, boto3 finds as it always does."""

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    ca_file: str | None = None
    path_style: bool = False
    connections: int = 8


def open_store(url: str, reach: Reach) -> Store:
    """Return the storage of a folder, a `file://` or an `s3://` URL. Raises RequestError for anything else."""
    kind = urlsplit(url)
    if kind.scheme in {"", "file"}:
        return FolderStore(Path(unquote(kind.path) if kind.scheme else url))
    if kind.scheme != "s3":
        raise RequestError(f"{url}: {kind.scheme}:// is no mirror that can be written; give a folder or s3://BUCKET/PREFIX")
    from buildjob.publishing.s3 import Access, S3Store  # noqa: PLC0415  60 MiB that folders need not pay

    return S3Store(url, Access(**msgspec.structs.asdict(reach)))
