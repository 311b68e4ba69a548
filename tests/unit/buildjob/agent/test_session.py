"""What a child of ours prints while it runs: only what it says of a server that does not answer is shown at once."""

import pytest

from buildjob.agent.session import NoticeLines


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_only_lines_about_a_silent_server_are_passed_on_whatever_the_chunks(size: int) -> None:
    printed = (
        b"spack-farm: 3 binaries\nspack-farm: no answer yet from http://a, attempt 1\n"
        b'no answer yet from b\n{"text": "spack-farm: no answer yet from c"}\n'
        b"spack-farm: no answer yet from http://a, attempt 2: refused\nspack-farm: no answer yet from d"
    )
    shown: list[str] = []
    lines = NoticeLines(shown.append)
    for start in range(0, len(printed), size):
        lines.feed(printed[start : start + size])
    assert shown == ["no answer yet from http://a, attempt 1", "no answer yet from http://a, attempt 2: refused"]


def test_a_line_without_end_is_cut() -> None:
    shown: list[str] = []
    lines = NoticeLines(shown.append)
    for _ in range(1000):
        lines.feed(b"spack-farm: no answer yet from " * 1000)
    lines.feed(b"\n")
    assert [len(line) < 1000 for line in shown] == [True]
