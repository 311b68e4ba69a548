"""What an answer of CDash, or its absence, means for the file that was sent: taken, not taken, refused, or unknown.

Pure: no network. Obeys: CDash 5.3, app/Http/Controllers/SubmissionController.php. A file sent twice counts twice, so all
that does not prove "not taken" is unknown. CDash sends no Retry-After.
"""

import enum
from dataclasses import dataclass, replace
from xml.parsers import expat

_ANSWER_CHARACTERS = 300


class Verdict(enum.Enum):
    """What became of a file."""

    TAKEN = "sent"
    NOT_TAKEN = "not sent"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A verdict with what to do about it."""

    verdict: Verdict
    reason: str = ""
    build_id: str = ""
    may_repeat: bool = False
    """Whether trying again at once may help."""
    ends_all: bool = False
    """Whether the other files would fare the same."""


_NOT_TAKEN = Answer(verdict=Verdict.NOT_TAKEN)
_STATUSES: dict[int, Answer] = {
    401: replace(_NOT_TAKEN, reason="CDash refuses the token: check its file, project and expiry", ends_all=True),
    403: replace(_NOT_TAKEN, reason="CDash refuses the token: check its file, project and expiry", ends_all=True),
    404: replace(
        _NOT_TAKEN, reason="no such project, or no CDash at this address: check --url and --project", ends_all=True
    ),
    408: replace(_NOT_TAKEN, reason="the server waited too long for the file", may_repeat=True),
    413: Answer(verdict=Verdict.REFUSED, reason="larger than the web server allows: raise its limit for request bodies"),
    429: replace(_NOT_TAKEN, reason="the server is busy", may_repeat=True),
    502: replace(_NOT_TAKEN, reason="the proxy does not reach CDash", may_repeat=True),
    503: replace(_NOT_TAKEN, reason="the server is not available", may_repeat=True),
}


def of_status(status: int, body: bytes, *, location: str = "") -> Answer:
    """Read an HTTP answer."""
    if status == 200:
        return _of_cdash(body)
    if 300 <= status < 400:
        reason = f"redirected to {location or 'nowhere'}: give that address as --url if it is your CDash"
        return replace(_NOT_TAKEN, reason=reason, ends_all=True)
    known = _STATUSES.get(status)
    if known:
        return replace(known, reason=f"HTTP {status}: {known.reason}")
    words = f"HTTP {status}: {_printable(body)}"
    if 400 <= status < 500:
        return Answer(verdict=Verdict.REFUSED, reason=words)
    return Answer(verdict=Verdict.UNKNOWN, reason=words)


def of_failure(error: Exception, *, handed_over: int, size: int, is_tls: bool) -> Answer:
    """Read a request that ended without an answer: a file that was not handed over whole cannot have been taken."""
    words = _innermost(error)
    if is_tls and not handed_over:
        return replace(_NOT_TAKEN, reason=f"no trusted connection: {words}", ends_all=True)
    if handed_over < size or not handed_over:
        return replace(_NOT_TAKEN, reason=words, may_repeat=True)
    return Answer(verdict=Verdict.UNKNOWN, reason=f"the whole file went out, no answer came: {words}")


def _innermost(error: BaseException) -> str:
    """Say what lies at the bottom of an exception's chain: `Connection refused`, not the five layers above it."""
    while error.__context__:
        error = error.__context__
    return f"{type(error).__name__}: {error}"[:_ANSWER_CHARACTERS]


def _of_cdash(body: bytes) -> Answer:
    texts = _flat_xml(body)
    if texts.get("status") == "OK":
        return Answer(verdict=Verdict.TAKEN, reason=texts.get("message", ""), build_id=texts.get("buildId", ""))
    if texts.get("status") == "ERROR":
        return Answer(verdict=Verdict.REFUSED, reason=texts.get("message", ""))
    return Answer(verdict=Verdict.UNKNOWN, reason=f"HTTP 200, but not the answer of a CDash: {_printable(body)}")


def _flat_xml(body: bytes) -> dict[str, str]:
    """Return the texts of `<cdash>`'s children; nothing for anything else."""
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
    except (expat.ExpatError, LookupError, ValueError):  # LookupError: an encoding that Python lacks
        return {}
    return texts


def _printable(body: bytes) -> str:
    text = body[:_ANSWER_CHARACTERS].decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in text).strip() or "(empty)"
