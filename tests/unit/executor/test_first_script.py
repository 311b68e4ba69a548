import pytest

from executor.first_script import printed_by

RUNNER_19_4 = rb"""#!/usr/bin/env bash

trap 'exit 1' TERM

case "$(set -o)" in *"pipefail"*) set -o pipefail;; esac; set -o errexit
set +o noclobber
(trap 'exit 1' TERM; eval $'echo "Running on $(hostname)..."\nrm "-f" "/builds/grp/proj.tmp/gitlab_runner_env"\nrm "-f" "/builds/grp/proj.tmp/masking.db"\n') < /dev/null
exit 0

"""  # noqa: E501 (as the Runner writes it)


def told(script: bytes) -> bytes | None:
    return printed_by(script, builds_dir="/builds", hostname="job-7-abc")


def test_what_the_runner_writes_today_only_prints_a_line() -> None:
    assert told(RUNNER_19_4) == b"Running on job-7-abc...\n"


def test_the_managers_name_stands_in_the_line_where_the_configuration_has_one() -> None:
    script = RUNNER_19_4.replace(b"$(hostname)...", b"$(hostname) via runner-1.example...")
    assert told(script) == b"Running on job-7-abc via runner-1.example...\n"


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        (b"errexit\n", b"errexit\nset -o xtrace\n"),
        (b'rm "-f"', b'rm "-rf"'),
        (b"/builds/grp", b"/cache/grp"),
        (b"masking.db", b"other.db"),
        (b'masking.db"', b'masking.db" "/etc/passwd"'),
        (b"$(hostname)...", b"$(hostname)... $(date)"),
        (b"$(hostname)...", b"$(hostname) via $(id)..."),
        (b"$(hostname)...", b"here..."),
        (b"\\n') <", b"\\necho more\\n') <"),
        (b"\\n') <", b"\\necho \\'more\\'\\n') <"),
        (b"exit 0\n", b"exit 1\n"),
        (b"exit 0\n", b"touch /builds/x\nexit 0\n"),
        (b"#!/usr/bin/env bash", b"#!/usr/bin/env pwsh"),
    ],
)
def test_whatever_else_a_script_says_it_is_to_be_run(what: bytes, instead: bytes) -> None:
    assert what in RUNNER_19_4
    assert told(RUNNER_19_4.replace(what, instead)) is None


@pytest.mark.parametrize("script", [b"", b"exit 0\n", RUNNER_19_4 * 2])
def test_what_is_no_such_script_is_to_be_run(script: bytes) -> None:
    assert told(script) is None
