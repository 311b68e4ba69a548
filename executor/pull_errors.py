"""What a kubelet's report on a failed pull means: which fault it is, and its cause in words. Pure.

The status has a reason but no code, only the runtime's text with the registry's status or error code in it. Everything that
an image's name can bring into that text is taken out first: a tag may be `503`, a group `denied`.
Source: kubelet pkg/kubelet/images/image_manager.go; containerd remotes/docker; containers/image docker/errors.go; the
registry's error codes: OCI distribution spec, "Error Codes".
"""

import enum
import re


class PullFault(enum.Enum):
    """The kinds of a failed pull."""

    PASSES = "passes"
    """The registry or the network may do better soon, or nothing is known."""
    MISSING = "missing"
    """The registry has no such image, or none for this platform."""
    DENIED = "denied"
    """The registry does not give the image to these credentials."""
    UNTRUSTED = "untrusted"
    """The node and the registry cannot agree on a secure connection."""
    IMPOSSIBLE = "impossible"
    """The name is not one, or the image may not be pulled or run at all."""


PULL_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"})
_BY_REASON = {
    "InvalidImageName": PullFault.IMPOSSIBLE,
    "ErrImageNeverPull": PullFault.IMPOSSIBLE,
    "SignatureValidationFailed": PullFault.IMPOSSIBLE,
    "ImageInspectError": PullFault.PASSES,
    "RegistryUnavailable": PullFault.PASSES,
}
_BACK_OFF = re.compile(r'^(?:Back-off pulling image "[^"]*"(?:: |$))?(?:ErrImagePull:?(?: |$))?')
_EVENT = re.compile(r'^Failed to pull image "[^"]*":(?: |$)')
_FOREIGN = re.compile(  # what holds parts of the image's name: quoted texts, URLs, digests, and where runtimes name it bare
    r'"(?:[^"\\]|\\.)*"|\bhttps?://\S+|\bsha256:[0-9a-f]+\S*|(?<=manifest )\S+ in \S+|(?<=manifest for )\S+'
    r"|(?<=access denied for )\S+|(?<=initializing source )\S+|(?<=repository )\S+(?= not found)"
)
_STATUS = re.compile(
    r"\b([45]\d\d) \(?[A-Z][a-z]"
    r"|(?:[Ss]tatus ?[Cc]ode|HTTP(?: status)?|from registry)[^\d\s]* (?:from registry )?([45]\d\d)\b"
)
_BY_STATUS = {
    401: PullFault.DENIED,
    403: PullFault.DENIED,
    404: PullFault.MISSING,
    410: PullFault.MISSING,
    451: PullFault.MISSING,
}
_BLOB = re.compile(r"failed open|failed to copy|httpReadSeeker|fetching blob|reading blob", re.IGNORECASE)
_UNTRUSTED = re.compile(
    r"\bx509: |server gave HTTP response to HTTPS client|first record does not look like a TLS handshake"
    r"|remote error: tls: (?:bad|unknown|certificate|handshake failure|protocol version)",
    re.IGNORECASE,
)
_CODES = (  # by the registry's own code, as the runtimes print it: `CODE: message`; then the runtimes' own sentences
    (re.compile(r"\b(?:toomanyrequests|unavailable): |too many requests", re.IGNORECASE), PullFault.PASSES),
    (
        re.compile(
            r"(?:^|: )(?:denied|unauthorized|insufficient_scope)\b|pull access denied|authorization failed"
            r"|no basic auth credentials|authentication required|requested access to the resource is denied"
            r"|in\w*correct username|invalid username|code = (?:PermissionDenied|Unauthenticated)\b",
            re.IGNORECASE,
        ),
        PullFault.DENIED,
    ),
    (
        re.compile(
            r"(?:manifest|name|blob)[ _]unknown\b|no match for platform|no matching manifest|no image found in"
            r"|failed to resolve reference\b.*: not found$|manifest for\s+not found|repository\s+not found",
            re.IGNORECASE,
        ),
        PullFault.MISSING,
    ),
)


def pull_fault(reason: str, message: str, *, image: str) -> PullFault | None:
    """Return the kind of a waiting container's pull fault; None if the reason is not about pulling."""
    if reason in _BY_REASON:
        return _BY_REASON[reason]
    if reason not in PULL_REASONS:
        return None
    text = _without_names(pull_cause(message), image)
    if _UNTRUSTED.search(text):
        return PullFault.UNTRUSTED
    status = _STATUS.search(text)
    if status is not None:
        # A registry that has given the manifest has the blob: its store's signed address may only have expired.
        is_final = not _BLOB.search(text)
        return _BY_STATUS.get(int(status[1] or status[2]), PullFault.PASSES) if is_final else PullFault.PASSES
    return next((fault for pattern, fault in _CODES if pattern.search(text)), PullFault.PASSES)


def pull_cause(message: str) -> str:
    """Return a report without the kubelet's back-off around it, in one line; "" if that is all that it says."""
    return _EVENT.sub("", _BACK_OFF.sub("", " ".join(message.split())))


def _without_names(text: str, image: str) -> str:
    """Return the text without what the image's name has brought into it."""
    for name in sorted(_spellings(image), key=len, reverse=True):
        text = re.sub(rf"(?<!\S){re.escape(name)}(?=[:,;)]?(?:\s|$))", " ", text)
    return " ".join(_FOREIGN.sub(" ", text).split())


def registry_of(image: str) -> str:
    """Return the registry of an image's name; Docker Hub's for a name without one."""
    host, slash, _ = image.partition("/")
    return host if slash and ("." in host or ":" in host or host == "localhost") else "docker.io"


def _spellings(image: str) -> set[str]:
    """Return the forms in which runtimes print an image's name bare; not those that are one plain word."""
    host, slash, _ = image.partition("/")
    has_host = bool(slash) and registry_of(image) == host
    full = image if has_host else f"docker.io/{image}" if slash else f"docker.io/library/{image}"
    names = {image, full, full.removeprefix("docker.io/")}
    names |= {f"{name}:latest" for name in names if ":" not in name.rpartition("/")[2]}
    names |= {name.partition("@")[0] for name in names}
    names |= {name[: name.rindex(":")] for name in names if ":" in name.rpartition("/")[2]}
    return {name for name in names if "/" in name or ":" in name}
