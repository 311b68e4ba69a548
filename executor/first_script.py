"""The Runner's first script, told without running it: in a pod that is new all it does is to print one line.

A command in the pod would cost more than that script is worth: six processes of the container runtime. Pure. A script that
differs in any other way from what is known here is not this module's, and runs as all others do.

Source: gitlab-runner shells/bash.go, `Finish` and `ensurePrepareStageHostnameMessage`; shells/abstract.go,
`writePrepareScript`. The files that it removes are those of an earlier job in the same builds folder.
"""

import re

_FRAME = re.compile(
    rb"#!/usr/bin/env bash\n\n"
    rb"trap 'exit 1' TERM\n\n"
    rb"""case "\$\(set -o\)" in \*"pipefail"\*\) set -o pipefail;; esac; set -o errexit\n"""
    rb"set \+o noclobber\n"
    rb"\(trap 'exit 1' TERM; eval \$'((?:[^'\\]|\\n)*)'\) < /dev/null\n"
    rb"exit 0\n+"
)
_LINE = re.compile(rb'echo "Running on \$\(hostname\)((?: via [\w.-]+)?\.\.\.)"')


def printed_by(script: bytes, *, builds_dir: str, hostname: str) -> bytes | None:
    """Return what the script prints in a pod whose builds folder is empty; None if it may do anything else."""
    frame = _FRAME.fullmatch(script)
    if frame is None:
        return None
    first, *others = frame[1].removesuffix(rb"\n").split(rb"\n")
    line = _LINE.fullmatch(first)
    remainder = re.compile(rb'rm "-f" "%s/[\w./-]+\.tmp/(?:gitlab_runner_env|masking\.db)"' % re.escape(builds_dir.encode()))
    if line is None or not all(remainder.fullmatch(other) for other in others):
        return None
    return b"Running on %s%s\n" % (hostname.encode(), line[1])
