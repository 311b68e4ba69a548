"""What names the content of a mirror's index, by one HEAD: its ETag. Standard library only.

The request is written by hand: `http.client` takes longer to import than all of a fingerprint. It is used behind a proxy.
Source: Amazon S3's "HeadObject"; RFC 9110, sections 8.8.3 and 9.3.2; RFC 9112.
"""

import hashlib
import urllib.parse
from typing import TYPE_CHECKING, Dict, List, Mapping, Optional, Tuple

from . import s3_request

if TYPE_CHECKING:
    import socket

MANIFEST = "v3/manifests/index/index.manifest.json"
OLD = "build_cache/index.json"
"""The index of the layout before; the generator reads it where there is no other, so a second HEAD asks for it."""
_SECONDS = 10
_LARGEST_HEAD = 1 << 16
_ABSENT = (404, 410)
_MOVED = (301, 302, 303, 307, 308)
_MOST_MOVES = 5

Answer = Tuple[int, Dict[str, str]]
"""Status, and headers by their names in lower case."""


def etag(mirror: str, variables: Mapping[str, str]) -> str:
    """Return what names the content of the mirror's index: an ETag; of a folder the manifest's digest; empty without one.

    Raises OSError if the mirror does not answer, ValueError for an address that is none, or a server without ETags.
    """
    base = mirror.rstrip("/")
    found = (_of(f"{base}/{name}", variables) for name in (MANIFEST, OLD))
    return next((each for each in found if each is not None), "")


def _of(url: str, variables: Mapping[str, str]) -> Optional[str]:
    if url.startswith("file://") or "://" not in url:
        path = urllib.parse.unquote(url[len("file://") :]) if "://" in url else url
        try:
            with open(path, "rb") as file:
                return hashlib.sha256(file.read()).hexdigest()
        except (FileNotFoundError, NotADirectoryError):
            return None
    headers: Dict[str, str] = {}
    if url.startswith("s3://"):
        who = s3_request.access({}, variables)
        if who is None:
            raise ValueError("no access keys for S3; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        url, headers = s3_request.signed(url, "HEAD", who)
    status, answered = _asked(url, headers, variables)
    if status in _ABSENT:
        return None
    if status != 200:
        raise OSError(f"the index is not to be had: HTTP {status}")
    found = answered.get("etag") or answered.get("last-modified")
    if not found:
        raise ValueError("the server gives its files no ETag and no date, so a change of the index can't be seen")
    return found


def _asked(url: str, headers: Mapping[str, str], variables: Mapping[str, str]) -> Answer:
    """Return the answer to a HEAD; follows where it was moved to."""
    for _ in range(_MOST_MOVES):
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url}: only file://, s3://, http:// and https:// have an index that can be asked for")
        has_proxy = any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in variables)
        status, answered = _through_proxy(url, headers) if has_proxy else _head(url, headers)
        # what was signed for one server is not for another
        if status not in _MOVED or "location" not in answered or "Authorization" in headers:
            return status, answered
        url = urllib.parse.urljoin(url, answered["location"])
    raise OSError(f"the index was moved {_MOST_MOVES} times, at last to {url}")


def _head(url: str, headers: Mapping[str, str]) -> Answer:
    import socket  # noqa: PLC0415  a mirror in a folder does without

    parsed = urllib.parse.urlsplit(url)
    is_secure = parsed.scheme == "https"
    path = urllib.parse.quote(parsed.path or "/", safe="/%:=&?~#+!$,;'@()*[]") + ("?" + parsed.query if parsed.query else "")
    lines = [f"HEAD {path} HTTP/1.1", "Host: " + parsed.netloc.rpartition("@")[2], "Connection: close", "Accept: */*"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    port = parsed.port or (443 if is_secure else 80)
    with socket.create_connection((parsed.hostname or "", port), _SECONDS) as plain:
        if not is_secure:
            return _exchanged(plain, lines)
        import ssl  # noqa: PLC0415  as above

        with ssl.create_default_context().wrap_socket(plain, server_hostname=parsed.hostname) as wrapped:
            return _exchanged(wrapped, lines)


def _exchanged(connection: "socket.socket", lines: List[str]) -> Answer:
    connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    head = b""
    while b"\r\n\r\n" not in head:
        read = connection.recv(_LARGEST_HEAD)
        head += read
        if not read or len(head) > _LARGEST_HEAD:
            raise OSError("no answer of HTTP")
    first, *rest = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if not words[0].startswith("HTTP/1.") or len(words) < 2 or not words[1].isdigit():
        raise OSError(f"no answer of HTTP: {first[:80]!r}")
    pairs = (line.partition(":") for line in rest)
    return int(words[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


def _through_proxy(url: str, headers: Mapping[str, str]) -> Answer:
    import http.client  # noqa: PLC0415
    import urllib.error  # noqa: PLC0415
    import urllib.request  # noqa: PLC0415

    request = urllib.request.Request(url, headers=dict(headers), method="HEAD")  # noqa: S310  its scheme is checked
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310  as above
            return 200, {name.lower(): value for name, value in answer.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, {}
    except http.client.HTTPException as error:
        raise OSError(f"no answer of HTTP: {error!r}") from error
