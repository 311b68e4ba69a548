import subprocess

from executor.pod_agent import with_variables


def test_a_command_gets_variables_of_any_value_without_a_program_but_the_shell() -> None:
    argv = with_variables(["/bin/sh", "-c", 'echo "$A|$B|$1|$#"', "x", "--", "y"], {"A": "it's $HOME; `x`", "B": "c d=e"})
    done = subprocess.run(argv, env={"PATH": "/nonexistent"}, executable="/bin/sh", capture_output=True, check=True)
    assert done.stdout == b"it's $HOME; `x`|c d=e|--|2\n"
    assert with_variables(["a"], {}) == ["a"]
