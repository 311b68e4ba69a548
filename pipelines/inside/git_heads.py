"""Which commit a checkout is at, from its files: git itself takes longer to start than all of this.

Source: git's gitrepository-layout(5).
"""

import os
import re

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def commit(folder: str) -> str:
    """Return the commit of the checkout that holds a folder; empty if it is in none, or cannot be read."""
    git = _git_folder(os.path.realpath(folder))
    head = _first_line(os.path.join(git, "HEAD")) if git else ""
    common = _first_line(os.path.join(git, "commondir")) if git else ""
    shared = os.path.normpath(os.path.join(git, common)) if common else git
    for _ in range(5):  # symbolic references may name each other
        if _COMMIT.fullmatch(head):
            return head
        if not head.startswith("ref: "):
            return ""
        name = head[5:].strip()
        loose = [_first_line(os.path.join(each, name)) for each in (git, shared)]
        head = next((text for text in loose if text), "") or _packed(shared, name)
    return ""


def _git_folder(folder: str) -> str:
    while True:
        found = os.path.join(folder, ".git")
        if os.path.isdir(found):
            return found
        if os.path.isfile(found):  # a worktree or a submodule
            text = _first_line(found)
            return os.path.normpath(os.path.join(folder, text[8:].strip())) if text.startswith("gitdir: ") else ""
        parent = os.path.dirname(folder)
        if parent == folder:
            return ""
        folder = parent


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().rstrip("\n")
    except OSError:
        return ""


def _packed(git: str, name: str) -> str:
    try:
        with open(os.path.join(git, "packed-refs"), encoding="utf-8", errors="replace") as file:
            for line in file:
                words = line.split()
                if len(words) == 2 and words[1] == name:
                    return words[0]
    except OSError:
        pass
    return ""


def is_checkout(folder: str) -> bool:
    """Return whether a folder is the root of a checkout."""
    return os.path.exists(os.path.join(folder, ".git"))
