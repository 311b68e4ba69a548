"""The driver's command line: what the Runner calls is read as argparse reads it, and everything else is left to argparse."""

import pytest

from executor.arguments import Arguments, parser, read_arguments

CALLED = ["config", "prepare", "cleanup"]
OTHERS = [
    ["run", "script", "stage"],
    ["run", "--config=a", "script", "stage"],
    ["run", "script", "stage", "--config", "a"],
    ["run", "--config", "a", "--", "-script", "stage"],
    ["config"],
    ["prepare", "--config=a b"],
]
WRONG = [
    [],
    ["build"],
    ["run"],
    ["run", "--config", "a"],
    ["run", "--config", "a", "script"],
    ["run", "--config", "a", "script", "-stage"],
    ["run", "--config", "a", "-script", "stage"],
    ["run", "--config", "a", "script", "stage", "more"],
    ["config", "--config"],
    ["config", "--config", "-x"],
    ["config", "--confg", "a"],
    ["config", "a", "b"],
]


@pytest.mark.parametrize(
    "argv",
    [*([verb, "--config", path] for verb in CALLED for path in ("a", "a/b c.toml", "")), *OTHERS]
    + [["run", "--config", "a", script, stage] for script in ("s", "/t/s -x", "") for stage in ("build_script", "x")],
)
def test_a_command_line_means_what_argparse_reads(argv: list[str]) -> None:
    assert vars(read_arguments(argv)) == vars(Arguments()) | vars(parser().parse_args(argv, namespace=Arguments()))


@pytest.mark.parametrize("argv", WRONG)
def test_a_wrong_command_line_ends_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        read_arguments(argv)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("usage: spack-farm executor")
