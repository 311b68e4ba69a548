"""What is shown of a run before it is built again, and which of its variables are set."""

from buildjob.ci.reproduce import describe, variables_of
from buildjob.telemetry import Reproduce
from tests.labs.telemetry_samples import change, sample


def test_only_variables_of_the_allow_list_are_set() -> None:
    given = {
        "MAKEFLAGS": "-j1",
        "LANG": "C",
        "PATH": "/evil",
        "LD_PRELOAD": "/evil.so",
        "SPACK_ENV": "/x",
        "AWS_SECRET": "s",
    }
    assert variables_of(sample(reproduce=Reproduce(variables=given))) == {"MAKEFLAGS": "-j1", "LANG": "C"}


def test_foreign_text_cannot_move_the_cursor() -> None:
    document = sample()
    shown = describe(change(document, spec=change(document.spec, name="x\x1b[2Jy\rz\u202e")), {"LANG": "C\nrm"})
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert "\u202e" not in shown
    assert "C?rm" in shown
