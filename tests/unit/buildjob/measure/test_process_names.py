"""What a process is called never holds more of its command line than a program and a source file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.measure.process_names import short_command


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["/usr/lib/gcc/x86_64-linux-gnu/12/cc1plus", "-quiet", "-I", ".", "-MF", "a.d.c", "/src/foo.cpp"],
            "cc1plus foo.cpp",
        ),
        (["/usr/bin/g++", "-O2", "-c", "foo.cpp", "-o", "foo.o"], "g++ foo.cpp"),
        (["gfortran", "-c", "solve.F90"], "gfortran solve.F90"),
        (["rustc", "--crate-name", "serde", "src/lib.rs"], "rustc lib.rs"),
        (["make", "-j8", "all"], "make"),
        (["/usr/bin/python3", "/opt/spack/bin/spack", "install", "zlib"], "python3 spack"),
        (["python3.11", "-u", "setup.py", "build"], "python3.11 setup.py"),
        (["python3", "-c", "token = 'hunter2.c'"], "python3"),
        (["python3", "-m", "pip", "install", "https://user:hunter2@host/x.py"], "python3"),
        (["bash", "-ec", "curl -H token:hunter2"], "bash"),
        (["sh", "./configure", "--with-token=hunter2"], "sh configure"),
        (["-bash"], "bash"),
        (["curl", "-u", "user:hunter2", "https://host/a?token=hunter2.c"], "curl"),
        (["deploy", "--password", "hunter2.c"], "deploy"),
        (["deploy", "--password=hunter2.c"], "deploy"),
        (["deploy", "TOKEN=hunter2.c"], "deploy"),
        (["worker: token hunter2"], "comm"),
        (["postgres: user hunter2"], "comm"),
        ([], "comm"),
        ([""], "comm"),
    ],
)
def test_a_command_is_its_program_and_source_file(arguments: list[str], expected: str) -> None:
    assert short_command(arguments, name="comm") == expected


@given(st.lists(st.text(max_size=40), max_size=6), st.text(max_size=15))
def test_any_command_line_gives_a_short_word_or_two(arguments: list[str], name: str) -> None:
    short = short_command(arguments, name=name)
    assert 1 <= len(short) <= 130
    assert len(short.split(" ")) <= 2
    assert short.isascii()
    assert short.isprintable()
