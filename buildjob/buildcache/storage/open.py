"""Opens the storage at the address of a build cache; boto3 is loaded for `s3://` only, and there where it is needed."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from buildjob import options
from buildjob.buildcache.storage.access import Access, split_url
from buildjob.buildcache.storage.folder import FolderStore
from buildjob.buildcache.storage.notices import Notice, say_nothing
from buildjob.buildcache.storage.retry import RetryPolicy
from buildjob.buildcache.storage.store import Store
from buildjob.errors import RequestError, Unavailable
from buildjob.s3_plain import StaticRoute, static_route

if TYPE_CHECKING:
    from buildjob.buildcache.storage.s3_learned import Learner


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
    return _open_s3(url, access, notice=notice, retries=retries)


def _open_s3(url: str, access: Access, *, notice: Notice, retries: RetryPolicy | None) -> Store:
    from buildjob.buildcache.storage import s3_direct, s3_fast_path  # noqa: PLC0415  what folders need not pay

    direct = None
    route = None
    if not access.profile:
        route = static_route(
            split_url(url)[0],
            options.environment(),
            endpoint_url=access.endpoint_url or "",
            region=access.region or "",
            ca_file=access.ca_file or "",
        )
    with contextlib.suppress(OSError):  # a file of authorities that can't be read: boto3 reports it
        direct = s3_direct.signing_connections(route.base_url, route.key, ca_file=route.ca_file) if route else None

    def make() -> "Learner":
        from buildjob.buildcache.storage import s3, s3_learned  # noqa: PLC0415  boto3: 60 MiB, a third of a second

        return s3_learned.Learner(s3.S3Store(url, access, retries=retries, notice=notice))

    # the one use of the fast path: `return make().plain` works, too, and costs more
    return s3_fast_path.FastS3(url, make, direct, retried=(retries or RetryPolicy()).retried)


def open_static(url: str, route: StaticRoute) -> Store:
    """Return the storage of an `s3://` URL that never loads boto3: it raises Unavailable where that would be needed."""
    from buildjob.buildcache.storage import s3_direct, s3_fast_path  # noqa: PLC0415  as above

    def make() -> "Learner":
        raise Unavailable(f"{url}: not without boto3")

    direct = s3_direct.signing_connections(route.base_url, route.key, ca_file=route.ca_file)
    return s3_fast_path.FastS3(url, make, direct)


def load_for(url: str, *, with_boto3: bool = True) -> None:
    """Load what `open_store` will need for this address. Reads no credentials and connects to nothing."""
    if not url.startswith("s3:"):
        return
    from buildjob.buildcache.storage import s3_fast_path  # noqa: PLC0415  as above

    del s3_fast_path
    if with_boto3:
        from buildjob.buildcache.storage import s3_client, s3_learned  # noqa: PLC0415  as above

        del s3_learned
        s3_client.prepare()
