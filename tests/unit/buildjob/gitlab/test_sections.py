"""GitLab's sections: the marks that its page reads, put between the lines of an output whose bytes stay as they are."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.gitlab import sections
from buildjob.spack.install_log import Reader

_MARK = re.compile(rb"\x1b\[0Ksection_(start|end):\d+:([A-Za-z0-9_.-]+)(\[collapsed=true\])?\r\x1b\[0K([^\n]*)\n")
LOG = (
    b"==> Installing zlib-1.3.1-abc [1/1]\nfetched\n==> zlib: Executing phase: 'install'\nmake\nline\n"
    b"==> zlib: Successfully installed zlib-1.3.1-abc\n  Stage: 0.1s\n"
)


def folds(prefix: str = "p") -> sections.PhaseFolds:
    return sections.PhaseFolds(prefix, phases=Reader().feed, clock=lambda: 7.9)


def shown(*chunks: bytes) -> bytes:
    made = folds()
    return b"".join(made.feed(chunk) for chunk in chunks) + made.end()


def visible(text: bytes) -> bytes:
    return _MARK.sub(b"", text)


def test_a_mark_is_what_gitlab_reads() -> None:
    assert sections.start("a_b", "Building\nx", now=1.9) == "\x1b[0Ksection_start:1:a_b[collapsed=true]\r\x1b[0KBuilding x\n"
    assert sections.end("a_b", now=2) == "\x1b[0Ksection_end:2:a_b\r\x1b[0K\n"


@pytest.mark.parametrize(
    ("parts", "name"),
    [(("zlib", "abc"), "zlib_abc"), (("a/b c", "ü:"), "a_b_c___"), (("x" * 200,), "x" * 100), (("g++@1",), "g___1")],
)
def test_a_name_has_only_what_gitlab_takes(parts: tuple[str, ...], name: str) -> None:
    assert sections.name_of(*parts) == name


def test_each_phase_is_a_section_after_the_line_that_names_it() -> None:
    found = [(mark[1], mark[2], mark[4]) for mark in _MARK.finditer(shown(LOG))]
    assert found == [
        (b"start", b"p_stage", b"stage"),
        (b"end", b"p_stage", b""),
        (b"start", b"p_install", b"install"),
        (b"end", b"p_install", b""),
    ]
    assert visible(shown(LOG)) == LOG
    assert shown(LOG).index(b"section_start:7:p_install") > shown(LOG).index(b"Executing phase")


@given(st.lists(st.integers(0, len(LOG)), max_size=8))
def test_how_the_output_comes_in_pieces_changes_nothing(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(LOG)]
    assert shown(*(LOG[a:b] for a, b in itertools.pairwise(places))) == shown(LOG)


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_other_bytes_pass_unchanged(chunks: list[bytes]) -> None:
    assert shown(*chunks) == b"".join(chunks)


def test_a_section_that_is_cut_off_ends_on_a_line_of_its_own() -> None:
    cut = LOG[: LOG.index(b"line") + 2]
    ended = shown(cut)
    assert ended.endswith(b"li\n" + sections.end("p_install", now=7).encode())
    assert visible(ended) == cut + b"\n"
