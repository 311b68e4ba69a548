"""One line of `executor check`: what was looked at, what is true of it, and what to do where that is wrong. Pure."""

import enum
import re

import msgspec

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


class Kind(enum.Enum):
    """What a finding means for the first job."""

    OK = enum.auto()
    NOTE = enum.auto()
    """Worth knowing; jobs run."""
    BAD_FILE = enum.auto()
    """A file or an option is wrong: exit code 2."""
    SILENT = enum.auto()
    """Something does not answer: exit code 4, as it may answer later."""
    REFUSED = enum.auto()
    """The cluster answers, and a job would fail there: exit code 1."""

    @property
    def mark(self) -> str:
        """How a line of this kind begins, as in `spack-farm doctor`."""
        return {Kind.OK: "ok   ", Kind.NOTE: "note "}.get(self, "FIX  ")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one object."""

    kind: Kind
    subject: str
    """What was looked at: `settings`, `pods`, `clock`."""
    text: str
    advice: str = ""
    """What to do; "" where nothing is to be done."""

    @property
    def line(self) -> str:
        """The finding as it is printed; advice is on a line of its own."""
        first = f"{self.kind.mark} {self.subject}: {self.text}"
        whole = f"{first}\n      {self.advice}" if self.advice else first
        return _CONTROL.sub("?", whole)  # a server's text must not move a terminal's cursor


def ok(subject: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(kind=Kind.OK, subject=subject, text=text)


def note(subject: str, text: str, advice: str = "") -> Finding:
    """Return a finding that costs no job anything."""
    return Finding(kind=Kind.NOTE, subject=subject, text=text, advice=advice)


def fault(subject: str, text: str, advice: str, *, kind: Kind = Kind.BAD_FILE) -> Finding:
    """Return a finding that something must be changed, with the change."""
    return Finding(kind=kind, subject=subject, text=text, advice=advice)


# A wrong file is mended first: what it leads to says little.
_EXIT_CODES = ((Kind.BAD_FILE, 2), (Kind.SILENT, 4), (Kind.REFUSED, 1))


def exit_code(findings: list[Finding]) -> int:
    """Return 0 where nothing must be changed, else the code of the first kind of fault that is there."""
    kinds = {finding.kind for finding in findings}
    return next((code for kind, code in _EXIT_CODES if kind in kinds), 0)
