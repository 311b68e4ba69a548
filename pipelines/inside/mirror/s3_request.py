"""Signed requests to S3 with the standard library alone: boto3 takes longer to import than a generation without it.

Used where access keys are given in so many words; a profile or a machine's role is left to Spack and boto3.
Source: AWS's "Signature Version 4 signing process".
"""

import datetime
import hashlib
import hmac
import urllib.parse
from typing import Dict, Mapping, NamedTuple, Optional, Tuple

_EMPTY = hashlib.sha256(b"").hexdigest()


class Access(NamedTuple):
    """Who asks, and where. An endpoint is empty for AWS itself."""

    key_id: str
    secret: str
    token: str
    region: str
    endpoint: str


def access(mirror: Mapping[str, str], variables: Mapping[str, str]) -> Optional[Access]:
    """Return the access that a mirror's settings or the environment give; None if keys have to be found elsewhere.

    `mirror` may have access_key_id, access_key_secret, access_token, endpoint_url and region.
    """
    key_id = mirror.get("access_key_id") or variables.get("AWS_ACCESS_KEY_ID", "")
    secret = mirror.get("access_key_secret") or variables.get("AWS_SECRET_ACCESS_KEY", "")
    own = bool(mirror.get("access_key_id"))
    token = mirror.get("access_token", "") if own else variables.get("AWS_SESSION_TOKEN", "")
    endpoints = ("S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    endpoint = mirror.get("endpoint_url") or next((variables[name] for name in endpoints if variables.get(name)), "")
    region = mirror.get("region") or variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION") or "us-east-1"
    if not key_id or not secret or (mirror.get("profile") and not own):
        return None
    return Access(key_id, secret, token, region, endpoint)


def signed(url: str, method: str, who: Access, now: Optional[datetime.datetime] = None) -> Tuple[str, Dict[str, str]]:
    """Return the address and the headers of a signed request for an object, `s3://BUCKET/KEY`."""
    parsed = urllib.parse.urlsplit(url)
    bucket, key = parsed.netloc, urllib.parse.quote(parsed.path.lstrip("/"), safe="/-_.~")
    if who.endpoint:
        base = urllib.parse.urlsplit(who.endpoint if "://" in who.endpoint else "https://" + who.endpoint)
        scheme, host, path = base.scheme, base.netloc, "{}/{}/{}".format(base.path.rstrip("/"), bucket, key)
    elif "." in bucket:  # the certificate of AWS covers one label
        scheme, host, path = "https", f"s3.{who.region}.amazonaws.com", f"/{bucket}/{key}"
    else:
        scheme, host, path = "https", f"{bucket}.s3.{who.region}.amazonaws.com", "/" + key
    moment = (now or datetime.datetime.now(datetime.timezone.utc)).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": host, "x-amz-content-sha256": _EMPTY, "x-amz-date": moment}
    if who.token:
        headers["x-amz-security-token"] = who.token
    signature = _authorization(method, path, headers, who, moment)
    shown = {name: value for name, value in headers.items() if name != "host"}
    return f"{scheme}://{host}{path}", dict(shown, Authorization=signature)


def _authorization(method: str, path: str, headers: Dict[str, str], who: Access, moment: str) -> str:
    signed = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"{method}\n{path}\n\n{lines}\n{signed}\n{_EMPTY}"
    scope = f"{moment[:8]}/{who.region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode("utf-8")).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
    key = ("AWS4" + who.secret).encode("utf-8")
    for word in (moment[:8], who.region, "s3", "aws4_request"):
        key = hmac.new(key, word.encode("utf-8"), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode("utf-8"), hashlib.sha256).hexdigest()
    return f"AWS4-HMAC-SHA256 Credential={who.key_id}/{scope}, SignedHeaders={signed}, Signature={signature}"
