from pathlib import Path

import pytest

from ctest_xml.arguments import Arguments, parser

_WITH_VALUES = (
    (["convert", "log"], ["--out", "--site", "--build-name", "--group", "--command"]),
    (["submit", "out", "--url", "http://cdash", "--project", "p"], ["--token-file", "--ca-file", "--project"]),
)


def parse(*argv: str) -> Arguments:
    return parser().parse_args(argv, namespace=Arguments())


def test_the_defaults_of_convert_are_those_of_its_help() -> None:
    found = parse("convert", "a.log", "b.log")
    assert (found.logs, found.out) == ([Path("a.log"), Path("b.log")], Path("cdash"))
    assert (found.rules, found.limit, found.group, found.build_name, found.command) == (
        "spack",
        50,
        "Experimental",
        None,
        None,
    )
    assert found.site


def test_submit_needs_only_the_folder_and_the_address() -> None:
    found = parse("submit", "out", "--url", "https://cdash.example.org", "--project", "Spack")
    assert (found.folder, found.url, found.project) == (Path("out"), "https://cdash.example.org", "Spack")
    assert (found.token_file, found.ca_file, found.again, found.dry_run) == (None, None, False, False)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["convert"], "LOG"),
        (["convert", "log", "--limit", "many"], "'many' is not a whole number from 0 on"),
        (["convert", "log", "--limit", "-1"], "--limit"),
        (["check"], "FILE"),
        (["submit", "out"], "--url, --project"),
        (["submit", "out", "--url", "cdash", "--project", "p"], "'cdash' is not the address of a CDash"),
        (["submit", "out", "--url", "http://cdash", "--project", ""], "the name is empty"),
        (["send"], "invalid choice"),
        *(
            ([*start, option, empty], f"argument {option}: the ")
            for start, options in _WITH_VALUES
            for option in options
            for empty in ("", " \t")
        ),
        (["convert", ""], "argument LOG: the path is empty"),
        (["check", "a.xml", " "], "argument FILE: the path is empty"),
        (["submit", "", "--url", "http://cdash", "--project", "p"], "argument DIR: the path is empty"),
    ],
)
def test_what_cannot_be_right_exits_2_and_is_named(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(*argv)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
