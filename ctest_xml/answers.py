"""What became of a file, by CDash's answer or by its absence: sent, not sent, refused or unknown.

Pure: no network. Obeys: CDash 5.3, app/Http/Controllers/SubmissionController.php. CDash counts a file twice that it gets
twice, so a delivery is unknown unless the answer proves that CDash does not have the file. CDash sends no Retry-After.
"""

import enum
from dataclasses import dataclass, replace
from xml.parsers import expat

_ANSWER_CHARACTERS = 300


class Delivery(enum.Enum):
    """What became of a file."""

    SENT = "sent"
    NOT_SENT = "not sent"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A delivery with its reason and what follows from it."""

    delivery: Delivery
    reason: str = ""
    build_id: str = ""
    may_retry: bool = False
    """Whether a retry may help."""
    applies_to_all: bool = False
    """Whether the other files would get the same answer."""


_NOT_SENT = Answer(delivery=Delivery.NOT_SENT)
_STATUSES: dict[int, Answer] = {
    401: replace(_NOT_SENT, reason="CDash refuses the token; check its file, project and expiry", applies_to_all=True),
    403: replace(_NOT_SENT, reason="CDash refuses the token; check its file, project and expiry", applies_to_all=True),
    404: replace(
        _NOT_SENT,
        reason="there is no such project, or no CDash at this address; check --url and --project",
        applies_to_all=True,
    ),
    408: replace(_NOT_SENT, reason="the server waited too long for the file", may_retry=True),
    413: Answer(
        delivery=Delivery.REFUSED, reason="the file is larger than the web server allows; raise its limit for request bodies"
    ),
    429: replace(_NOT_SENT, reason="the server is busy", may_retry=True),
    502: replace(_NOT_SENT, reason="the proxy does not reach CDash", may_retry=True),
    503: replace(_NOT_SENT, reason="the server is not available", may_retry=True),
}


def read_answer(status: int, body: bytes, *, location: str = "") -> Answer:
    """Read an HTTP answer."""
    if status == 200:
        return _of_cdash(body)
    if 300 <= status < 400:
        reason = f"the server redirects to {location or 'nowhere'}; give that address as --url if it is your CDash"
        return replace(_NOT_SENT, reason=reason, applies_to_all=True)
    known = _STATUSES.get(status)
    if known:
        return replace(known, reason=f"HTTP {status}: {known.reason}")
    reason = f"HTTP {status}: {_printable(body)}"
    if 400 <= status < 500:
        return Answer(delivery=Delivery.REFUSED, reason=reason)
    return Answer(delivery=Delivery.UNKNOWN, reason=reason)


def read_failure(error: Exception, *, handed_over: int, size: int, is_tls: bool) -> Answer:
    """Read a request that ended without an answer: CDash cannot have a file that was not handed over whole."""
    cause = _innermost(error)
    if is_tls and not handed_over:
        return replace(_NOT_SENT, reason=f"no trusted connection: {cause}", applies_to_all=True)
    if handed_over < size or not handed_over:
        return replace(_NOT_SENT, reason=cause, may_retry=True)
    return Answer(delivery=Delivery.UNKNOWN, reason=f"the whole file was sent, but no answer came: {cause}")


def _innermost(error: BaseException) -> str:
    """Return the first cause in an exception's chain: `Connection refused`, not the five layers above it."""
    while error.__context__:
        error = error.__context__
    return f"{type(error).__name__}: {error}"[:_ANSWER_CHARACTERS]


def _of_cdash(body: bytes) -> Answer:
    texts = _flat_xml(body)
    if texts.get("status") == "OK":
        return Answer(delivery=Delivery.SENT, reason=texts.get("message", ""), build_id=texts.get("buildId", ""))
    if texts.get("status") == "ERROR":
        return Answer(delivery=Delivery.REFUSED, reason=texts.get("message", ""))
    return Answer(delivery=Delivery.UNKNOWN, reason=f"HTTP 200, but this is not an answer of CDash: {_printable(body)}")


def _flat_xml(body: bytes) -> dict[str, str]:
    """Return the texts of `<cdash>`'s children; of anything else, nothing."""
    texts: dict[str, str] = {}
    stack: list[str] = []

    def text(piece: str) -> None:
        if len(stack) == 2 and stack[0] == "cdash":
            texts[stack[1]] = texts.get(stack[1], "") + piece.strip()

    def no_doctype(*_: object) -> None:
        raise ValueError("a document type declaration")

    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, _: stack.append(name)
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = no_doctype
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, LookupError, ValueError):  # LookupError: an unknown encoding
        return {}
    return texts


def _printable(body: bytes) -> str:
    text = body[:_ANSWER_CHARACTERS].decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in text).strip() or "(empty)"
