"""The errors of a log, the same ones together."""

from buildjob.report.log_page import errors
from buildjob.report.log_page.errors import LogError, LogErrors, group


def test_the_same_message_at_other_places_counts_once() -> None:
    found = group(
        [
            (3, "src/a.c:12:5: error: 'x' undeclared"),
            (9, "\x1b[1msrc/b.c:7:5:\x1b[0m error:  'x' undeclared\r"),
            (11, "src/b.f90(7): error: 'x' undeclared"),
            (12, "ld: error: undefined symbol: y"),
        ]
    )
    assert found == LogErrors(
        kinds=(
            LogError(text="src/a.c:12:5: error: 'x' undeclared", line=3, count=3),
            LogError(text="ld: error: undefined symbol: y", line=12),
        ),
        lines=4,
        at=frozenset({3, 9, 11, 12}),
    )


def test_a_log_of_nothing_but_errors_is_bounded() -> None:
    found = group((line, f"error: number {line}") for line in range(1, 10**9))
    assert (len(found.kinds), found.lines, found.is_whole) == (errors.MOST_KINDS, errors.MOST_EVENTS, False)
    assert len(found.at) == errors.MOST_MARKED
    assert len(group([(1, "error " + "x" * 10_000_000)]).kinds[0].text) <= 1_000


def test_a_log_without_errors_has_none() -> None:
    assert group([]) == LogErrors()
