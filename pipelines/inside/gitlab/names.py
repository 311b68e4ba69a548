"""Names of jobs and files: what GitLab takes, each once, recognizable for Spack's users. Pure.

Source: Spack 1.1, lib/spack/spack/ci/gitlab.py (`get_job_name`); GitLab's reference of `.gitlab-ci.yml`, "Job names".
"""

import re

MOST = 128
LARGEST = 255
_RESERVED = frozenset(
    [
        "image",
        "services",
        "stages",
        "types",
        "before_script",
        "after_script",
        "variables",
        "cache",
        "include",
        "true",
        "false",
        "nil",
        "pages",
        "pages:deploy",
        "default",
        "workflow",
        "spec",
    ]
)


def job_name(name: str, version: str, key: str, group: str = "", most: int = MOST) -> str:
    """Return `name@version /key group`. What is too long loses the end of its version, then of the group, never the key."""
    head, tail = plain(f"{name}@{version}"), " /" + plain(key)
    behind = " " + plain(group) if group else ""
    room = most - len(tail) - len(behind)
    if room < 16:  # the group is the same in all names: it gives way first
        behind = _cut(behind, max(0, most - len(tail) - 16))
        room = most - len(tail) - len(behind)
    return allowed(_cut(head, room) + tail + behind)


def plain(text: str) -> str:
    """Return a text as one line that can be read: each run of blanks and of what can't be printed is one character."""
    shown = re.sub(r"\s+", " ", text)
    return "".join(letter if letter.isprintable() else "?" for letter in shown).strip()


def allowed(name: str) -> str:
    """Return a name that GitLab takes for a job: not reserved, and not hidden by a dot in front."""
    return "_" + name if name in _RESERVED or name.startswith(".") or not name else name


def file_name(text: str) -> str:
    """Return a name for a file of a stack."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip(".-")[:80] or "stack"


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(0, room - 2)] + ".." if room > 2 else text[:room]
