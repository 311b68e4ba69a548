"""A job's log as GitLab's page shows it before a reader opens a section."""

import re

# A carriage return is a line feed where Python has read the output as text.
_MARK = re.compile(r"\x1b\[0Ksection_(start|end):\d+:([A-Za-z0-9_.-]+)(?:\[([^\]\n]*)\])?[\r\n]\x1b\[0K([^\n]*)\n")


def visible_lines(text: str) -> list[str]:
    """Return the lines outside of folded sections, and the title of each that lies in no other one.

    Fails if a section is left open, or is ended that was not begun.
    """
    shown, opened, place = "", list[str](), 0
    for mark in _MARK.finditer(text):
        shown += "" if opened else text[place : mark.start()]
        if mark[1] == "start":
            assert mark[3] == "collapsed=true", mark[0]
            shown += "" if opened else f"{mark[4]}\n"
            opened.append(mark[2])
        else:
            assert opened, mark[0]
            assert opened.pop() == mark[2], mark[0]
        place = mark.end()
    assert not opened, opened
    return (shown + text[place:]).splitlines()
