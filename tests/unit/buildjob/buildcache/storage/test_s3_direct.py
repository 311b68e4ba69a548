"""What the fast path learns from a request that boto3 has sent."""

import pytest

from buildjob.buildcache.storage.s3_direct import ListedObject, Page, Route, page_of, route_of
from buildjob.s3_plain import quoted

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


LISTING = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><KeyCount>1</KeyCount>{}<Contents>
<Key>x/a%20b%2B.json</Key><LastModified>2026-11-30T12:00:00.000Z</LastModified><Size>7</Size></Contents></ListBucketResult>"""


@pytest.mark.parametrize(
    ("more", "key", "token"),
    [
        ("<IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>", "x/a b+.json", ""),
        ("<IsTruncated>false</IsTruncated>", "x/a%20b%2B.json", ""),
        ("<IsTruncated>true</IsTruncated><NextContinuationToken>t=1</NextContinuationToken>", "x/a%20b%2B.json", "t=1"),
    ],
)
def test_a_listing_has_keys_and_the_next_page(more: str, key: str, token: str) -> None:
    page = page_of(LISTING.format(more).encode())
    assert page == Page(rows=[ListedObject(key, 7, 1796040000.0)], next_token=token)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html><body>log in</body></html>",
        b"<Error><Code>NoSuchBucket</Code></Error>",
        LISTING.format("").encode(),
        LISTING.format("<IsTruncated>true</IsTruncated>").encode(),
        LISTING.format("<IsTruncated>false</IsTruncated>").replace(">7<", ">many<").encode(),
        LISTING.format("<IsTruncated>false</IsTruncated>").replace("2026-11", "yesterday").encode(),
        LISTING.format("<IsTruncated>false</IsTruncated>").encode()[:-30],
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_listing_is_none(text: bytes) -> None:
    assert page_of(text) is None
