"""Opens the storage that a mirror's URL names; boto3 is loaded for `s3://` only."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from buildjob.buildcache.storage.access import Access
from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.storage.store import Store
from buildjob.errors import RequestError


def open_store(url: str, access: Access) -> Store:
    """Return the storage of a folder, a `file://` or an `s3://` URL. Raises RequestError for anything else."""
    kind = urlsplit(url)
    if kind.scheme in {"", "file"}:
        return FolderStore(Path(unquote(kind.path) if kind.scheme else url))
    if kind.scheme != "s3":
        raise RequestError(f"{url}: {kind.scheme}:// is no mirror that can be written; give a folder or s3://BUCKET/PREFIX")
    from buildjob.buildcache.storage.s3 import S3Store  # noqa: PLC0415  60 MiB that folders need not pay

    return S3Store(url, access)
