"""Patterns of allowed images mean what they mean to the official executor (github.com/bmatcuk/doublestar)."""

import pytest

from executor.image_patterns import matches


@pytest.mark.parametrize(
    ("pattern", "image", "expected"),
    [
        ("registry.example/*", "registry.example/a:1", True),
        ("registry.example/*", "registry.example/team/a:1", False),
        ("registry.example/**", "registry.example/team/a:1", True),
        ("my.registry.tld:5000/**", "myxregistry.tld:5000/a", False),
        ("**", "a/b/c:1", True),
        ("*", "ruby:2", True),
        ("*", "a/b", False),
        ("**/a:*", "x/y/a:1", True),
        ("**/a:*", "a:1", True),
        ("a**", "a/b", False),
        ("r/**/x:1", "r/x:1", True),
        ("r/**/x:1", "r/a/b/x:1", True),
        ("ruby:?", "ruby:22", False),
        ("r/{a,b}:*", "r/b:1", True),
        ("r/{a,b}:*", "r/c:1", False),
        ("a,b", "a,b", True),
        ("r/[a-c]:1", "r/b:1", True),
        ("r/[!a-c]:1", "r/b:1", False),
        ("r/[!a-c]:1", "r//:1", False),
        ("r/a\\*", "r/a*", True),
        ("{", "{", False),
        ("ruby:2.[0-9]", "ruby:2x7", False),
    ],
)
def test_a_pattern_matches_as_in_the_official_executor(pattern: str, image: str, *, expected: bool) -> None:
    assert matches(pattern, image) is expected
