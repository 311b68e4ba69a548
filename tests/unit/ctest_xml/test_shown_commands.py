import pytest

from ctest_xml.scan import scan
from ctest_xml.shown_commands import ShownCommands

SHOWN = b"""==> [2026-11-30-04:07:07.071287] '/bin/sh' '-c' 'cat > notes.txt <<'"'"'EOF'"'"'
main.c:3: error: only text
FAILED: nothing
EOF
true'
"""


def lines_of(log: bytes) -> list[bytes]:
    return [log[start:end].rstrip() for start, end in ShownCommands().ranges(log)]


def test_the_further_lines_of_a_command_are_found() -> None:
    assert lines_of(b"before\n" + SHOWN + b"after\n") == SHOWN.splitlines()[1:]


@pytest.mark.parametrize(
    "line",
    [
        b"==> [2026-11-30-04:07:07.1] 'make' '-j2'\n",
        b"""==> [2026-11-30-04:07:07.1] 'sh' '-c' 'it'"'"'s'\n""",
        b"==> [2026-11-30-04:07:07.1] Installing it's\n",
        b"==> it's\n",
    ],
)
def test_a_command_of_one_line_has_none(line: bytes) -> None:
    assert lines_of(line + b"a.c:1: error: x\n") == []


def test_the_command_ends_where_spack_speaks_again() -> None:
    assert lines_of(b"==> [t] 'open\na\n==> [t] 'make'\nb'\n") == [b"a"]


def test_a_quote_that_never_closes_hides_no_more_than_a_command_could() -> None:
    log = b"==> [t] 'open\n" + b"a.c:1: error: x\n" * 300
    assert len(list(scan([log]))) == 100


@pytest.mark.parametrize("rules", ["spack", "ctest"])
def test_only_the_rules_of_spack_leave_them_out(rules: str) -> None:
    texts = [event.text for event in scan([SHOWN, b"a.c:1: error: x\n"], rules=rules)]  # type: ignore[arg-type]
    assert texts == (["a.c:1: error: x"] if rules == "spack" else ["main.c:3: error: only text", "a.c:1: error: x"])


@pytest.mark.parametrize("size", [1, 7, 100])
def test_chunks_change_nothing(size: int) -> None:
    log = SHOWN * 3 + b"a.c:1: error: x\n"
    assert [event.log_line for event in scan(log[at : at + size] for at in range(0, len(log), size))] == [16]
