"""Requests to S3 without boto3, which takes a third of a second of a core to load: where they go, and their signature.

Only where boto3 would find nothing but what variables say: profiles, files, roles, AWS's own addresses, proxies, and any
variable `AWS_…` that is not known here are left to it. Pure, but for a look whether files are there. Imports the standard
library only: `spack/inside/` loads this file by its path, in Spack's own Python.
Source: botocore, `configprovider.py`, `credentials.py` and `args.py` (path style for each address that is given); AWS,
"Authenticating Requests (AWS Signature Version 4)": Amazon S3 neither encodes a path twice nor normalizes it.
"""

import datetime as dt
import hashlib
import hmac
import importlib.util
import os
import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import NamedTuple, Optional

_PLAIN_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_OF_AMAZON = (".amazonaws.com", ".amazonaws.com.cn")
_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_TOKENS = ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_WITHOUT_EFFECT = (
    "AWS_REGION", "AWS_EC2_METADATA_DISABLED", "AWS_EXECUTION_ENV", "AWS_DEFAULT_OUTPUT", "AWS_PAGER", "AWS_MAX_ATTEMPTS",
    "AWS_RETRY_MODE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
)  # fmt: skip
"""The files are looked for below; boto3 reads none of the others for such a request, or we do not leave them to it."""
_KNOWN = frozenset({*_CREDENTIALS, *_TOKENS, *_ENDPOINTS, *_WITHOUT_EFFECT, "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE"})

NO_BODY_SHA256 = hashlib.sha256(b"").hexdigest()


class SigningKey(NamedTuple):
    """Credentials, and where they are used."""

    access_key: str
    secret_key: str
    token: str = ""
    """Of temporary credentials."""
    region: str = "us-east-1"

    def __repr__(self) -> str:
        return f"SigningKey({self.region})"  # never the credentials


def quoted(key: str) -> str:
    """Return a key as it stands in a URL."""
    return urllib.parse.quote(key, safe="/~")


def signed_headers(  # noqa: PLR0913  what a signature is made of
    method: str,
    url: str,
    headers: Mapping[str, str],
    *,
    key: SigningKey,
    body_sha256: str = NO_BODY_SHA256,
    now: Optional[dt.datetime] = None,  # noqa: UP045  Spack's Python may be older
) -> dict[str, str]:
    """Return the headers with a signature. `url` is as it is sent; its query has each name once, in any order."""
    at = (now or dt.datetime.now(dt.timezone.utc)).strftime("%Y%m%dT%H%M%SZ")  # noqa: UP017  Spack's Python may be older
    parts = urllib.parse.urlsplit(url)
    signed = {**headers, "x-amz-content-sha256": body_sha256, "x-amz-date": at}
    if key.token:
        signed["x-amz-security-token"] = key.token
    hashed = {name.lower(): " ".join(value.split()) for name, value in signed.items()} | {"host": _host(parts)}
    names = ";".join(sorted(hashed))
    request = "\n".join([
        method,
        parts.path or "/",
        "&".join(sorted(parts.query.split("&"))) if parts.query else "",
        *(f"{name}:{hashed[name]}" for name in sorted(hashed)),
        "",
        names,
        body_sha256,
    ])  # fmt: skip
    scope = f"{at[:8]}/{key.region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", at, scope, hashlib.sha256(request.encode()).hexdigest()])
    secret = f"AWS4{key.secret_key}".encode()
    for part in (at[:8], key.region, "s3", "aws4_request"):
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
    credential = f"Credential={key.access_key}/{scope}"
    signed["Authorization"] = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"
    return signed


def _host(parts: urllib.parse.SplitResult) -> str:
    """Return the header Host as `http.client` sends it: with the port, unless it is the scheme's own."""
    host = parts.netloc.rpartition("@")[2]
    return host.removesuffix({"http": ":80", "https": ":443"}[parts.scheme])


class StaticRoute(NamedTuple):
    """Where the requests for a bucket go, and who signs them."""

    base_url: str
    """The key is appended to it."""
    key: SigningKey
    ca_file: str
    """The authorities that boto3 would trust; empty for http."""


def static_route(  # noqa: PLR0913  all that boto3 may be given
    bucket: str,
    variables: Mapping[str, str],
    *,
    endpoint_url: str = "",
    region: str = "",
    ca_file: str = "",
    key: Optional[SigningKey] = None,  # noqa: UP045  Spack's Python may be older
    exists: Callable[[str], bool] = os.path.exists,
) -> Optional[StaticRoute]:  # noqa: UP045
    """Return how boto3 would reach a bucket; None if only boto3 can know. `exists` looks for boto3's own files.

    Without `key`, the variables have the credentials.
    """
    given = {name: text for name, text in variables.items() if name.startswith("AWS_") and text}
    if set(given) - _KNOWN or any(exists(path) for path in _files(variables)):
        return None
    if key is None and all(name in given for name in _CREDENTIALS):
        token = next((given[name] for name in _TOKENS if name in given), "")
        key = SigningKey(given[_CREDENTIALS[0]], given[_CREDENTIALS[1]], token)
    endpoint = endpoint_url or next((given[name] for name in _ENDPOINTS if name in given), "")
    if key is None or not _PLAIN_BUCKET.fullmatch(bucket) or not _is_plain(endpoint):
        return None
    scheme = endpoint.partition(":")[0]
    if any(variables.get(name) for each in (scheme, "all") for name in (f"{each}_proxy", f"{each}_proxy".upper())):
        return None
    authorities = (ca_file or given.get("AWS_CA_BUNDLE") or _default_authorities()) if scheme == "https" else ""
    if scheme == "https" and not authorities:
        return None
    signing = key._replace(region=region or given.get("AWS_DEFAULT_REGION") or key.region)
    return StaticRoute(f"{endpoint.rstrip('/')}/{bucket}/", signing, authorities)


def _is_plain(endpoint: str) -> bool:
    try:
        url = urllib.parse.urlsplit(endpoint)
        has_host = url.scheme in {"http", "https"} and bool(url.hostname) and (url.port or 1) > 0
    except ValueError:
        return False
    odd = bool(url.query or url.fragment) or "@" in url.netloc or (url.hostname or "").endswith(_OF_AMAZON)
    return has_host and not odd and endpoint.isascii() and endpoint.startswith(url.scheme)


def _files(variables: Mapping[str, str]) -> list[str]:
    """Return the files that may change what boto3 does."""
    home = f"{variables.get('HOME') or '~'}/.aws"
    defaults = {"AWS_CONFIG_FILE": f"{home}/config", "AWS_SHARED_CREDENTIALS_FILE": f"{home}/credentials"}
    return [os.path.expanduser(variables.get(name) or path) for name, path in defaults.items()]  # noqa: PTH111  pathlib takes long to load


def _default_authorities() -> str:
    """Return the authorities that boto3 trusts by default: certifi's, else botocore's own. Loads neither."""
    for package in ("certifi", "botocore"):
        found = importlib.util.find_spec(package)
        if found and found.origin:
            return f"{found.origin.rpartition('/')[0]}/cacert.pem"
    return ""
