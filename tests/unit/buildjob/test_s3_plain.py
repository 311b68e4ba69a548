"""Requests to S3 without boto3: signed as botocore signs them, and only where botocore would find nothing else."""

import datetime as dt
import hashlib
import http.client

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.s3_plain import SigningKey, StaticRoute, quoted, signed_headers, static_route

NOW = dt.datetime(2026, 11, 30, 12, 0, 1, tzinfo=dt.UTC)
KEY = SigningKey("AKID", "secret/+key", region="eu-west-1")
PAIR = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "code"}
SERVER = PAIR | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9000"}


def by_botocore(method: str, url: str, headers: dict[str, str], body: bytes, key: SigningKey) -> str:
    credentials = botocore.credentials.Credentials(key.access_key, key.secret_key, key.token or None)
    request = botocore.awsrequest.AWSRequest(method, url, dict(headers), body)
    request.context["timestamp"] = NOW.strftime("%Y%m%dT%H%M%SZ")
    request.context["payload_signing_enabled"] = True
    signer = botocore.auth.S3SigV4Auth(credentials, "s3", key.region)
    del request.headers["X-Amz-Date"]
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    if key.token:
        request.headers["X-Amz-Security-Token"] = key.token
    request.headers["X-Amz-Content-SHA256"] = signer.payload(request)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return str(signer.signature(text, request))


@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "DELETE"]),
    name=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="/"), min_size=1, max_size=30),
    query=st.sampled_from(["", "?list-type=2&prefix=a%2Fb&max-keys=1000&encoding-type=url"]),
    body=st.binary(max_size=20),
    token=st.sampled_from(["", "a-token"]),
)
def test_a_signature_is_the_one_that_botocore_makes(method: str, name: str, query: str, body: bytes, token: str) -> None:
    key = KEY._replace(token=token)
    url = f"http://127.0.0.1:9000/bucket/x/{quoted(name)}{query}"
    headers = {"If-None-Match": "*", "x-amz-checksum-sha256": "AP8="} if method == "PUT" else {}
    ours = signed_headers(method, url, headers, key=key, body_sha256=hashlib.sha256(body).hexdigest(), now=NOW)
    assert ours["Authorization"].endswith(f"Signature={by_botocore(method, url, headers, body, key)}")
    assert key.secret_key not in str(ours)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://h/b/k", "h"),
        ("http://h:80/b/k", "h"),
        ("https://h:443/b/k", "h"),
        ("https://h:80/b/k", "h:80"),
        ("http://[::1]:9000/b/k", "[::1]:9000"),
    ],
)
def test_the_signed_host_is_the_one_that_is_sent(url: str, host: str) -> None:
    sent: list[bytes] = []

    class Connection(http.client.HTTPSConnection if url.startswith("https") else http.client.HTTPConnection):  # type: ignore[misc]
        def send(self, data: bytes) -> None:
            sent.append(data)

    netloc = url.split("/")[2]
    Connection(netloc).request("GET", "/b/k")
    assert f"Host: {host}\r\n".encode() in sent[0]
    plain = signed_headers("GET", f"{url.partition('://')[0]}://{host}/b/k", {}, key=KEY, now=NOW)
    assert signed_headers("GET", url, {}, key=KEY, now=NOW) == plain


def test_a_key_shows_no_credentials() -> None:
    assert "secret" not in repr(KEY)
    assert "AKID" not in repr(KEY)


def test_variables_that_say_all_are_enough() -> None:
    route = static_route("bucket", SERVER, exists=lambda _: False)
    assert route == StaticRoute("http://127.0.0.1:9000/bucket/", SigningKey("id", "code", region="us-east-1"), "")


@pytest.mark.parametrize(
    ("more", "base_url", "region"),
    [
        ({"AWS_ENDPOINT_URL_S3": "http://s3:1/"}, "http://s3:1/bucket/", "us-east-1"),
        ({"AWS_DEFAULT_REGION": "eu"}, "http://127.0.0.1:9000/bucket/", "eu"),
        ({"AWS_REGION": "ignored by boto3"}, "http://127.0.0.1:9000/bucket/", "us-east-1"),
        ({"AWS_ENDPOINT_URL": "http://host/below"}, "http://host/below/bucket/", "us-east-1"),
        ({"HTTPS_PROXY": "http://p"}, "http://127.0.0.1:9000/bucket/", "us-east-1"),
        ({"AWS_PROFILE": ""}, "http://127.0.0.1:9000/bucket/", "us-east-1"),
    ],
)
def test_what_boto3_reads_of_the_variables_is_read(more: dict[str, str], base_url: str, region: str) -> None:
    route = static_route("bucket", SERVER | more, exists=lambda _: False)
    assert route
    assert (route.base_url, route.key.region) == (base_url, region)


def test_what_is_given_comes_before_the_variables() -> None:
    given = {"endpoint_url": "https://s3.example:8443", "region": "mars", "ca_file": "/ca.pem"}
    route = static_route("bucket", SERVER | {"AWS_DEFAULT_REGION": "eu"}, key=KEY, exists=lambda _: False, **given)
    assert route == StaticRoute("https://s3.example:8443/bucket/", KEY._replace(region="mars"), "/ca.pem")


def test_https_trusts_what_boto3_trusts() -> None:
    https = SERVER | {"AWS_ENDPOINT_URL": "https://s3.example"}
    route = static_route("bucket", https, exists=lambda _: False)
    assert route
    assert route.ca_file.endswith("/cacert.pem")
    route = static_route("bucket", https | {"AWS_CA_BUNDLE": "/mine.pem"}, exists=lambda _: False)
    assert route
    assert route.ca_file == "/mine.pem"


@pytest.mark.parametrize(
    "variables",
    [
        {},
        PAIR,  # AWS's own addresses
        {"AWS_ENDPOINT_URL": "http://h:1"},  # credentials from somewhere else
        SERVER | {"AWS_PROFILE": "farm"},
        SERVER | {"AWS_DEFAULT_PROFILE": "farm"},
        SERVER | {"AWS_WEB_IDENTITY_TOKEN_FILE": "/t"},
        SERVER | {"AWS_ROLE_ARN": "r"},
        SERVER | {"AWS_USE_FIPS_ENDPOINT": "true"},
        SERVER | {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
        SERVER | {"AWS_CREDENTIAL_EXPIRATION": "2026-01-01"},
        SERVER | {"AWS_SOMETHING_NEW": "1"},
        SERVER | {"AWS_ENDPOINT_URL": "https://s3.eu-west-1.amazonaws.com"},
        SERVER | {"AWS_ENDPOINT_URL": "127.0.0.1:9000"},
        SERVER | {"AWS_ENDPOINT_URL": "ftp://h"},
        SERVER | {"AWS_ENDPOINT_URL": "http://user:word@h"},
        SERVER | {"AWS_ENDPOINT_URL": "http://h?x=1"},
        SERVER | {"AWS_ENDPOINT_URL": "http://h:port"},
        SERVER | {"AWS_ENDPOINT_URL": "http://h\u00e4"},
        SERVER | {"AWS_ENDPOINT_URL": "http://"},
        SERVER | {"http_proxy": "http://p"},
        SERVER | {"ALL_PROXY": "http://p"},
    ],
)
def test_all_else_is_left_to_boto3(variables: dict[str, str]) -> None:
    assert static_route("bucket", variables, exists=lambda _: False) is None


@pytest.mark.parametrize("bucket", ["Upper", "a", "under_score", "arn:aws:s3:::x", "a/b", "", "-x-"])
def test_a_bucket_with_an_odd_name_is_left_to_boto3(bucket: str) -> None:
    assert static_route(bucket, SERVER, exists=lambda _: False) is None


@pytest.mark.parametrize(
    ("variables", "file"),
    [
        ({"HOME": "/home/me"}, "/home/me/.aws/config"),
        ({"HOME": "/home/me"}, "/home/me/.aws/credentials"),
        ({"AWS_CONFIG_FILE": "/etc/aws"}, "/etc/aws"),
        ({"AWS_SHARED_CREDENTIALS_FILE": "/run/aws"}, "/run/aws"),
    ],
)
def test_a_file_of_boto3s_is_left_to_it(variables: dict[str, str], file: str) -> None:
    assert static_route("bucket", SERVER | variables, exists=lambda path: path == file) is None
    assert static_route("bucket", SERVER | variables, exists=lambda _: False)
