"""No text and no document leaves with a secret in it."""

import time

import msgspec

from buildjob.masking import mask, mask_document


class Part(msgspec.Struct, frozen=True):
    text: str
    count: int = 0


class Document(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    parts: list[Part] = []
    options: dict[str, str | list[str]] = {}
    curve: list[float] = []
    absent: str | None = None
    unset: str | msgspec.UnsetType = msgspec.UNSET


def test_each_secret_and_each_password_in_a_url_is_masked() -> None:
    assert mask("a secret-value b", {"secret-value"}) == "a [MASKED] b"
    assert mask("git clone https://me:token@host/x.git", set()) == "git clone https://[MASKED]@host/x.git"
    assert mask("https://host/a:b@c", set()) == "https://host/a:b@c", "not a password"


def test_a_line_of_one_long_word_is_read_once() -> None:
    begun = time.process_time()
    assert mask("0" * 300_000, set()) == "0" * 300_000
    assert time.process_time() - begun < 5, "a minute, where each place in the word may begin a scheme"


def test_a_secret_that_contains_another_is_masked_as_a_whole() -> None:
    assert mask("prefix-secret-suffix", {"secret", "prefix-secret-suffix"}) == "[MASKED]"


def test_a_document_keeps_its_shape() -> None:
    document = Document(
        name="x hidden",
        parts=[Part("hidden", 3)],
        options={"hidden": "a", "b": ["hidden", "c"]},
        curve=[1.0, 2.0],
    )
    assert mask_document(document, frozenset({"hidden"})) == Document(
        name="x [MASKED]",
        parts=[Part("[MASKED]", 3)],
        options={"[MASKED]": "a", "b": ["[MASKED]", "c"]},
        curve=[1.0, 2.0],
    )


def test_two_values_of_a_document_are_never_taken_for_one_url() -> None:
    document = Document(name="s3://bucket", parts=[Part("a:b")], options={"at": "gcc@12"})
    assert mask_document(document, frozenset()) == document
