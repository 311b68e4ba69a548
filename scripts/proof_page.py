"""Writes a proof's result to its page in docs/proofs, with commit and date."""

import datetime as dt
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
PAGES = _ROOT / "docs/proofs"


def commit() -> str:
    """Return the checkout's commit, marked where files were changed; `unknown` outside a checkout."""
    argv = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty"]
    described = subprocess.run(argv, capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"


def today() -> str:
    """Return the date, as pages have it."""
    return f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}"


def record(name: str, result: str, *, at: str, command: str = "") -> None:
    """Write the page of `scripts/prove NAME`, or of a longer command; `at` is the commit at which the proof began."""
    head = f"# `scripts/prove {command or name}`\n\n{today()}, commit {at}:\n\n"
    (PAGES / f"{name}.md").write_text(f"{head}{result}\n", "utf-8")
