"""What names a result: any difference in head, query or body is another address, and the worker computes the same."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from delegate.addresses import begin_digest, is_key, result_key
from delegate.worker import Work

texts = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=5)
requests = st.tuples(st.dictionaries(st.sampled_from(["accept", "content-type", "x"]), texts), texts, st.binary(max_size=5))


def digest_of(headers: dict[str, str], query: str, body: bytes) -> str:
    digest = begin_digest(headers, query)
    digest.update(body)
    return digest.hexdigest()


@given(requests, requests)
def test_two_requests_have_one_digest_only_if_they_are_equal(
    one: tuple[dict[str, str], str, bytes], other: tuple[dict[str, str], str, bytes]
) -> None:
    assert (digest_of(*one) == digest_of(*other)) is (one == other)


def test_the_digest_is_the_one_that_the_protocol_defines() -> None:
    expected = hashlib.sha256(b"delegate-request-1\n12:content-type,10:text/plain,3:a=b,\nbody").hexdigest()
    assert digest_of({"content-type": "text/plain"}, "a=b", b"body") == expected


@given(st.text(max_size=9), st.text(max_size=9))
def test_worker_and_gateway_agree_on_keys_and_each_fingerprint_has_its_own(one: str, other: str) -> None:
    one, other = (text.encode("utf-8", "replace").decode() for text in (one, other))
    work = Work({"Delegate-Digest": "d" * 64})
    assert work.result_key(one) == result_key("d" * 64, one)
    assert (result_key("d", one) == result_key("d", other)) is (one == other)
    assert is_key(result_key("d", one))


def test_only_64_lower_hexadecimal_digits_are_a_key() -> None:
    assert [is_key(text) for text in ("a" * 64, "a" * 63, "A" * 64, "g" * 64, "a" * 64 + "\n", "")] == [True, *[False] * 5]
