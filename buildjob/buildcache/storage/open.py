"""Opens the storage at the address of a build cache; boto3 is loaded for `s3://` only."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from buildjob.buildcache.storage.access import Access
from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.storage.notices import Notice, say_nothing
from buildjob.buildcache.storage.retry import RetryPolicy
from buildjob.buildcache.storage.store import Store
from buildjob.errors import RequestError


def open_store(url: str, access: Access, *, notice: Notice = say_nothing, retries: RetryPolicy | None = None) -> Store:
    """Return the storage of a folder, a `file://` or an `s3://` URL. Raises RequestError for any other address.

    `notice` receives a line for people while a server does not answer.
    """
    parts = urlsplit(url)
    if not parts.scheme:
        if not url.strip():
            raise RequestError("the address of the build cache is empty; give a folder or s3://BUCKET/PREFIX")
        return FolderStore(Path(url))
    if parts.scheme not in {"file", "s3"}:
        raise RequestError(f"{url}: cannot publish to {parts.scheme}://; give a folder or s3://BUCKET/PREFIX")
    if parts.query or parts.fragment:  # Spack would drop them, and look elsewhere
        raise RequestError(f"{url}: an address has neither ? nor #; give a folder or s3://BUCKET/PREFIX")
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
            raise RequestError(f"{url}: give an absolute path, as in file:///mirror")
        return FolderStore(Path(unquote(parts.path)))
    from buildjob.buildcache.storage import s3, s3_fast_path  # noqa: PLC0415  60 MiB that folders need not pay

    store = s3.S3Store(url, access, retries=retries, notice=notice)
    return s3_fast_path.FastS3(store)  # the one use of the fast path: `return store` works, too, and costs more


def load_for(url: str) -> None:
    """Load what `open_store` will need for this address. Reads no credentials and connects to nothing."""
    if url.startswith("s3:"):
        from buildjob.buildcache.storage import s3_client, s3_fast_path  # noqa: PLC0415  as above

        del s3_fast_path
        s3_client.prepare()
