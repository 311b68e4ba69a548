"""What the fast path learns from a request that boto3 has sent."""

import pytest

from buildjob.buildcache.storage.s3_direct import Route, quoted, route_of

SIGNED = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=00"
KEY = "main/v3/manifests/a-1.0+x~y.json"


@pytest.mark.parametrize(
    ("url", "base"),
    [
        (f"http://localhost:9000/bucket/{quoted(KEY)}", "http://localhost:9000/bucket/"),
        (f"https://bucket.s3.eu-west-1.amazonaws.com/{quoted(KEY)}", "https://bucket.s3.eu-west-1.amazonaws.com/"),
    ],
)
def test_the_route_is_all_but_the_key(url: str, base: str) -> None:
    assert route_of(url, SIGNED, KEY) == Route(base_url=base, region="eu-west-1", service="s3")


@pytest.mark.parametrize(
    ("url", "authorization", "key"),
    [
        (f"http://localhost/bucket/{quoted(KEY)}?versionId=1", SIGNED, KEY),
        ("http://localhost/bucket/other", SIGNED, KEY),
        (f"http://localhost/bucket/x{quoted(KEY)}", SIGNED, KEY),
        (f"http://localhost/bucket/{quoted(KEY)}", "", KEY),
        (f"http://localhost/bucket/{quoted(KEY)}", "AWS AKIA:signature", KEY),
        ("http://localhost/bucket/", SIGNED, ""),
        ("", "", KEY),
    ],
    ids=["a query", "another key", "a longer key", "not signed", "signed the old way", "no key", "nothing sent yet"],
)
def test_an_unexpected_request_has_no_route(url: str, authorization: str, key: str) -> None:
    assert route_of(url, authorization, key) is None


def test_a_key_is_quoted_as_boto3_does() -> None:
    assert quoted("a b/c+d~e=f,g@1:é") == "a%20b/c%2Bd~e%3Df%2Cg%401%3A%C3%A9"
