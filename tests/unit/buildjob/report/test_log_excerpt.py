"""The lines around an error, from logs of any size and any bytes."""

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildjob.report.log_excerpt import LINE_LIMIT, take, take_end


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "build.log"
    path.write_text("".join(f"line {number}\n" for number in range(1, 101)))
    return path


def test_the_lines_around_the_error_are_taken_with_their_numbers(log: Path) -> None:
    taken = take(log, error_line=50, before=2, after=3)
    assert taken.lines == ["line 48", "line 49", "line 50", "line 51", "line 52", "line 53"]
    assert (taken.first_line, taken.error_line, taken.truncated) == (48, 50, False)


def test_ten_lines_on_both_sides_are_the_default(log: Path) -> None:
    taken = take(log, error_line=50)
    assert (taken.first_line, len(taken.lines)) == (40, 21)


@pytest.mark.parametrize(
    ("error_line", "first_line", "last"),
    [(1, 1, "line 11"), (3, 1, "line 13"), (100, 90, "line 100"), (99, 89, "line 100")],
)
def test_the_excerpt_is_shorter_at_the_log_s_ends(log: Path, error_line: int, first_line: int, last: str) -> None:
    taken = take(log, error_line=error_line)
    assert (taken.first_line, taken.lines[-1], taken.error_line) == (first_line, last, error_line)
    assert taken.lines[error_line - first_line] == f"line {error_line}"


@pytest.mark.parametrize("error_line", [101, 105, 10_000, 0, -3])
def test_a_line_that_the_log_does_not_have_gives_no_lines(log: Path, error_line: int) -> None:
    taken = take(log, error_line=error_line)
    assert (taken.lines, taken.error_line) == ([], None)


def test_a_log_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        take(tmp_path / "build.log", error_line=1)


def test_bytes_that_are_no_utf8_are_shown_and_carriage_returns_dropped(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\xffb\r\n\x00\n gr\xc3\xb6\xc3\x9fer")
    taken = take(path, error_line=2)
    assert taken.lines == ["a\\xffb", "\x00", " größer"]


@pytest.mark.parametrize("length", [LINE_LIMIT - 1, LINE_LIMIT, LINE_LIMIT + 1, 5 * LINE_LIMIT])
@pytest.mark.parametrize("character", ["x", "€", "\U0001f600"])
def test_long_lines_lose_their_end_and_the_next_line_is_the_next(tmp_path: Path, length: int, character: str) -> None:
    path = tmp_path / "log"
    path.write_text(f"before\n{character * length}\nafter\n", encoding="utf-8")
    taken = take(path, error_line=2)
    assert taken.lines == ["before", character * min(length, LINE_LIMIT), "after"]
    assert taken.truncated == (length > LINE_LIMIT)


@pytest.mark.long
def test_a_huge_line_before_within_and_after_is_never_held_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    size = 64 << 20
    with path.open("wb") as file:
        for text in (b"first\n", b"\n error\n", b"\nlast\n"):
            file.write(text)
            file.seek(size, 1)  # a hole: NUL bytes without a line feed
        file.write(b"\n")
    tracemalloc.start()
    taken = take(path, error_line=3, before=3, after=3)
    end = take_end(path, count=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [line[:6] for line in taken.lines] == ["first", "\x00" * 6, " error", "\x00" * 6, "last", "\x00" * 6]
    assert taken.truncated
    assert (end.first_line, end.lines[0]) == (5, "last")
    assert peak < 8 << 20


@pytest.mark.long
@given(
    body=st.lists(st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"")), max_size=30).map(b"\n".join),
    padding=st.sampled_from([0, *((1 << 16) - short for short in (0, 1, 2, 20, 200))]),
    window=st.tuples(st.integers(1, 40), st.integers(0, 12), st.integers(0, 12)),
)
@settings(max_examples=60, deadline=None)
def test_an_excerpt_is_what_splitting_the_log_gives(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, padding: int, window: tuple[int, int, int]
) -> None:
    """The padding, empty lines, moves the lines to where one block that is read ends and the next begins."""
    path = tmp_path_factory.getbasetemp() / "log"
    path.write_bytes(b"\n" * padding + body)
    whole = body.split(b"\n")
    if whole[-1] == b"":
        whole.pop()
    texts = [raw.removesuffix(b"\r").decode("utf-8", "backslashreplace") for raw in whole]
    at, before, after = window
    before = min(before, at - 1)
    taken = take(path, error_line=padding + at, before=before, after=after)
    assert taken.lines == (texts[at - 1 - before : at + after] if at <= len(texts) else [])
    end = take_end(path, count=after + 1)
    assert end.lines[-len(texts) :] == texts[-after - 1 :] or not texts
    assert end.first_line == max(1, padding + len(texts) - after)


def test_the_end_of_an_empty_log_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"")
    end = take_end(path)
    assert (end.lines, end.error_line, end.first_line) == ([], None, 1)
