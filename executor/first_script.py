"""Recognizes the Runner's first script, so that the driver prints its one line without a command in the pod. Pure.

A command costs six processes of the container runtime, and in a new pod the script does nothing else. A script that differs
from this text in any byte runs in the pod like any other.

Source: gitlab-runner shells/bash.go, `Finish` and `ensurePrepareStageHostnameMessage`; shells/abstract.go,
`writePrepareScript`. The files that it deletes are those of an earlier job in the same builds folder.
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
    """Return what the script prints in a pod with an empty builds folder; None if it may do anything else."""
    frame = _FRAME.fullmatch(script)
    if frame is None:
        return None
    first, *others = frame[1].removesuffix(rb"\n").split(rb"\n")
    line = _LINE.fullmatch(first)
    deletion = re.compile(rb'rm "-f" "%s/[\w./-]+\.tmp/(?:gitlab_runner_env|masking\.db)"' % re.escape(builds_dir.encode()))
    if line is None or not all(deletion.fullmatch(other) for other in others):
        return None
    return b"Running on %s%s\n" % (hostname.encode(), line[1])
