"""What keeps a mirror or a source's address from answering, what that means for the work at hand, and what to do. Pure.

The kinds are those of `inside/mirror_access.py`, which finds them by the exception's class or the answer's status.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from buildjob.masking import mask


class MirrorFault(msgspec.Struct, frozen=True, kw_only=True):
    """Why a binary mirror did not answer, or not as a build cache does."""

    mirror: str
    """Its name in Spack's configuration."""
    url: str
    kind: str
    """A key of `_KINDS`; one that is not there counts as `unknown`."""
    text: str = ""
    """The reason in the words of the system or the server."""

    @property
    def sentence(self) -> str:
        """The mirror by name and address, and what is wrong with it."""
        kind = _KINDS.get(self.kind, _KINDS["unknown"])
        text = f": {mask(self.text, ())}" if self.text else ""
        return f"mirror '{self.mirror}' ({mask(self.url, ())}): {kind.words}{text}"

    @property
    def is_silent(self) -> bool:
        """Whether nothing is known of what the mirror has."""
        return _KINDS.get(self.kind, _KINDS["unknown"]).is_silent

    @property
    def advice(self) -> str:
        """What to do next."""
        return _KINDS.get(self.kind, _KINDS["unknown"]).advice


class _Kind(NamedTuple):
    words: str
    is_silent: bool
    advice: str


class SourceFault(msgspec.Struct, frozen=True, kw_only=True):
    """Why Spack could not get a source from one address."""

    url: str
    kind: str
    text: str = ""

    @property
    def reason(self) -> str:
        """What is wrong, without the address."""
        words = _OF_SOURCES.get(self.kind) or _KINDS.get(self.kind, _KINDS["unknown"]).words
        return f"{words}: {mask(self.text, ())}"

    @property
    def may_pass(self) -> bool:
        """Whether a retry may cure it."""
        if self.kind in _OF_SOURCES:
            return self.kind == "garbled"
        return _KINDS.get(self.kind, _KINDS["unknown"]).advice == _LATER


class FetchReport(msgspec.Struct, frozen=True, kw_only=True):
    """Why Spack could not get the source of a package."""

    text: str
    """The error that Spack ended on."""
    faults: list[SourceFault] = []
    """In the order in which the addresses were tried."""


_OF_SOURCES = {
    "absent": "it is not there",
    "checksum": "it is not the file that the recipe names, or only a part of it",
    "garbled": "its answer can't be read",
    "program": "a program that fetches it is missing",
    "ref": "its git server has no such branch or tag",
}
_LATER = "try again later"
_TYPO = "correct its address in mirrors.yaml"

_KINDS = {
    # may pass
    "timeout": _Kind("it does not answer", True, _LATER),
    "refused": _Kind("it does not answer, nothing listens there", True, _LATER),
    "disconnected": _Kind("the connection broke off", True, _LATER),
    "unreachable": _Kind("there is no way to it", True, _LATER),
    "name_later": _Kind("its host name cannot be resolved at the moment", True, _LATER),
    "busy": _Kind("it is busy or failing", True, _LATER),
    "io": _Kind("it can't be read", True, _LATER),
    "unknown": _Kind("it can't be read", True, _LATER),
    # do not pass by themselves
    "name": _Kind("its host name does not exist", True, _TYPO),
    "certificate": _Kind("its TLS certificate is not accepted", True, "renew it, or name its authority in config:ssl_certs"),
    "tls": _Kind("no TLS connection can be made", True, _TYPO),
    "denied": _Kind("access is denied", True, "give the credentials that mirrors.yaml names, or correct them"),
    "credentials": _Kind(
        "it does not accept the credentials", True, "renew them, or correct those that mirrors.yaml names, or this clock"
    ),
    "http": _Kind("it rejects the request", True, _TYPO),
    "garbled": _Kind("what answers there is not a build cache", True, _TYPO),
    "configuration": _Kind("Spack can't use it as it is configured", True, "correct it in mirrors.yaml"),
    # say nothing against what the mirror has
    "index": _Kind(
        "its index can't be read",
        False,
        "its packages are found by hash only; spack-farm publish index --rebuild writes it anew",
    ),
    "entry": _Kind("one of its manifests can't be read", False, "publish that package again"),
    "damaged": _Kind("one of its blobs is damaged", False, "publish that package again"),
    "no_folder": _Kind("it is empty", False, "correct its path in mirrors.yaml if it should not be"),
    "no_bucket": _Kind("it is empty, there is no such bucket", False, _TYPO),
}


def silent_fault(
    faults: Sequence[MirrorFault], *, target: str, others: Iterable[str], index_asked: bool
) -> MirrorFault | None:
    """Return the fault of a mirror without which the concretization means nothing; None if there is none.

    That is the target, and each of the other mirrors if all of them are silent and Spack asked for their indices. `target`
    and `others` are names; `target` is empty if there is none.
    """
    silent = {fault.mirror: fault for fault in faults if fault.is_silent}
    if target in silent:
        return silent[target]
    names = [name for name in others if name != target]
    if index_asked and names and all(name in silent for name in names):
        return silent[names[0]]
    return None
