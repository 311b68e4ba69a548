"""What a wrong command line may have meant: the nearest word, and the whole command with it."""

import argparse

import pytest

from spack_farm import suggestions
from spack_farm.__main__ import VERBS


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    new = argparse.ArgumentParser()
    new.add_argument("--mirror")
    new.add_argument("--signing-key-file")
    verbs = new.add_subparsers()
    push = verbs.add_parser("push")
    push.add_argument("source")
    push.add_argument("--replace", action="store_true")
    verbs.add_parser("prune")
    return new


@pytest.mark.parametrize(
    ("word", "command"),
    [
        ("bulid", "help: spack-farm build zlib -j4\n"),
        ("publsh", "help: spack-farm publish zlib -j4\n"),
        ("pipeline", "help: spack-farm pipelines zlib -j4\n"),
        ("xyzzy", ""),
        ("", ""),
    ],
)
def test_a_misspelled_verb_is_answered_with_the_command(word: str, command: str) -> None:
    assert suggestions.of_verb(word, VERBS, ["zlib", "-j4"]) == command


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--miror", "m"], "did you mean: spack-farm publish --mirror m"),
        (["--miror=m x"], "did you mean: spack-farm publish '--mirror=m x'"),
        (["--signing-keyfile", "k", "push", "a b"], "did you mean: spack-farm publish --signing-key-file k push 'a b'"),
        (["pusch", "a"], "did you mean: spack-farm publish push a"),
        (["push", "a", "--replac"], "did you mean: spack-farm publish push a --replace"),
        (["push", "a", "--mirror"], "spack-farm publish push --help"),  # an option of the verb above
        (["push"], "spack-farm publish push --help"),
        (["--xyzzy"], "spack-farm publish --help"),
        (["--", "--miror"], "spack-farm publish --help"),
        ([], "spack-farm publish --help"),
        (["\x00", "-x"], "spack-farm publish --help"),
    ],
)
def test_rejected_arguments_are_answered_with_the_nearest(
    parser: argparse.ArgumentParser, given: list[str], said: str
) -> None:
    assert suggestions.of_arguments(parser, "publish", given) == f"help: {said}\n"
