"""Where the history is, by option and variable; variables that are nearly the known one."""

import pytest

from sizing.cli.arguments import HISTORY, Arguments, history, parser
from sizing.errors import BadRequest


def place(*words: str) -> str:
    return history(parser().parse_args(["show", "zlib", *words], namespace=Arguments()))


def test_an_option_wins_over_the_variable_and_the_user_s_folder_is_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert place() == "/home/me/.local/share/spack-farm/history.sqlite"
    monkeypatch.setenv(HISTORY, "a.sqlite")
    assert place() == "a.sqlite"
    assert place("--history", "b.sqlite") == "b.sqlite"


def test_a_variable_of_sizing_that_is_not_known_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACK_FARM_SIZING_HISTROY", "a.sqlite")
    with pytest.raises(
        BadRequest, match=r"HISTROY is unknown \(did you mean SPACK_FARM_SIZING_HISTORY\?\): correct or unset"
    ):
        place()


def test_a_slip_in_the_prefix_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SPACK_FARM_SIZE_HISTORY", "a.sqlite")
    place()
    assert capsys.readouterr().err == (
        "spack-farm sizing: the variable SPACK_FARM_SIZE_HISTORY is ignored (did you mean SPACK_FARM_SIZING_HISTORY?)\n"
    )
